"""The documentation's examples, run as they stand there."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.acceptance.conftest import sha256
from tests.acceptance.test_tus_js_client import CLIENTS, node
from tests.acceptance.visitor import chromium
from tests.conftest import missing
from tests.deployment.compose import ROOT
from tests.servers import ServerProcess, free_port

EXAMPLES = ROOT / "docs" / "examples"
WEB = ROOT / "tusfm" / "web" / "node_modules"
HTML = """<!doctype html><title>example</title><input type="file"><div id="uploads"></div>
<script type="module" src="example.js"></script>"""
SIZE = 3_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server for all of them."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Make the file that the examples send."""
    path = tmp_path / "film.mp4"
    path.write_bytes(os.urandom(SIZE))
    return path


def run(folder: Path, server: ServerProcess, *command: str) -> str:
    """Run an example in a folder, and return what it prints."""
    environ = {**os.environ, "SERVER": server.url}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pages_quote_them() -> None:
    """Each example stands in a page, by a mark that the site understands."""
    pages = "".join(path.read_text() for path in EXAMPLES.parent.glob("*.md"))
    assert [one.name for one in EXAMPLES.iterdir() if f'--8<-- "docs/examples/{one.name}"\n' not in pages] == []


def test_curl(server: ServerProcess, tmp_path: Path) -> None:
    """The script sends half a file, asks, sends the rest, and gets the same file back."""
    said = run(tmp_path, server, "bash", "-eu", str(EXAMPLES / "upload.sh"))
    assert said == "1500000 bytes have arrived\nboth files are the same\n"


def test_python(server: ServerProcess, film: Path) -> None:
    """The script sends the file with tuspy and prints its URL."""
    url = run(film.parent, server, sys.executable, str(EXAMPLES / "upload.py")).strip()
    assert sha256(url) == sha256(film)


def test_node(server: ServerProcess, film: Path) -> None:
    """tus-js-client sends the file from Node and prints its URL."""
    program = node()
    (film.parent / "node_modules").symlink_to(CLIENTS / "node_modules")
    (film.parent / "upload.mjs").write_text((EXAMPLES / "upload.mjs").read_text())
    url = run(film.parent, server, program, "upload.mjs").splitlines()[-1]
    assert sha256(url) == sha256(film)


def test_the_readme(server: ServerProcess, film: Path) -> None:
    """The README's commands send a file and fetch it."""
    (code,) = re.findall(r"```sh\n(url=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    run(film.parent, server, "bash", "-eu", "-c", code.replace("http://127.0.0.1:8000", server.url))
    assert sha256(film.parent / "copy.mp4") == sha256(film)


def test_the_older_api(server: ServerProcess, tmp_path: Path) -> None:
    """The page's commands send a file in a chunk, and are told how it stands."""
    (code,) = re.findall(r"```sh\n(api=.*?)```", (ROOT / "docs" / "legacy-api.md").read_text(), re.DOTALL)
    said = run(tmp_path, server, "bash", "-eu", "-c", code.replace("http://127.0.0.1:8000", server.url))
    assert '"chunk_index":0' in said
    assert '"status":' in said


def bundled(server: ServerProcess, name: str, folder: Path) -> None:
    """Make a page with an example in it, bundled as its reader would do it."""
    if not WEB.is_dir():
        missing("what the page is built of")
    folder.mkdir()
    source = folder / name
    source.write_text((EXAMPLES / name).read_text().replace("http://127.0.0.1:8000", server.url))
    esbuild = [node(), str(WEB / "esbuild" / "bin" / "esbuild"), str(source), f"--outfile={folder / 'example.js'}"]
    options = ["--bundle", "--format=esm", "--loader:.css=empty", "--log-level=error"]
    subprocess.run([*esbuild, *options], env={**os.environ, "NODE_PATH": str(WEB)}, check=True)
    (folder / "index.html").write_text(HTML)


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[str]:
    """Serve pages from another origin than the server's."""
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://localhost:{port}"
    await runner.cleanup()


async def sent(page: Page) -> str:
    """Wait until the page's title is the upload's URL."""
    await page.wait_for_function("document.title.startsWith('http')", timeout=60_000)
    return await page.title()


async def test_browser(server: ServerProcess, film: Path, pages: str) -> None:
    """The two pages, of another origin than the server, send the file that is chosen."""
    for name in ("browser", "uppy"):
        bundled(server, f"{name}.js", film.parent / name)
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{pages}/browser/index.html")
        await page.set_input_files("body > input", film)
        assert sha256(await sent(page)) == sha256(film)
        await page.goto(f"{pages}/uppy/index.html")
        await page.set_input_files("input.uppy-Dashboard-input >> nth=0", film)
        await page.click(".uppy-StatusBar-actionBtn--upload")
        assert sha256(await sent(page)) == sha256(film)
