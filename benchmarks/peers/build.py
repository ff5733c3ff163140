"""Build the peers: tusd by Go, @tus/server by npm; once, and kept for the next time."""

import os
import shutil
import subprocess
from pathlib import Path

from tusfm.web.build import BuildError, find_node

HERE = Path(__file__).resolve().parent
BUILT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tusfm-benchmarks"
COMMAND = "github.com/tus/tusd/v2/cmd/tusd"


def tusd() -> str:
    """Return the path of tusd, at the version that go.mod requires. BuildError."""
    wanted = (HERE / "go.mod").read_text()
    program, made = BUILT / "tusd", BUILT / "go.mod.made"
    if program.exists() and made.exists() and made.read_text() == wanted:
        return str(program)
    go = shutil.which("go")
    if go is None:
        raise BuildError("Go is needed to build tusd.")
    source = BUILT / "go"  # Go writes its checksums beside go.mod
    source.mkdir(parents=True, exist_ok=True)
    (source / "go.mod").write_text(wanted)
    print("building tusd, which takes a few minutes once", flush=True)
    command = [go, "build", "-o", str(program), COMMAND]
    done = subprocess.run(command, cwd=source, env={**os.environ, "GOFLAGS": "-mod=mod"}, check=False)
    if done.returncode:
        raise BuildError("Go could not build tusd.")
    made.write_text(wanted)
    return str(program)


def node_server() -> list[str]:
    """Return the command that runs @tus/server, at the version that the lock file names. BuildError."""
    node = find_node()
    node.install(HERE)
    return [*node.node, str(HERE / "server.mjs")]
