"""The page at `/`, in Debian's Chromium."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser

from tests.acceptance.conftest import sha256
from tests.acceptance.visitor import DIST, INPUT, PAUSE, visit
from tests.access.tokens import OTHER_SECRET, SECRET, token
from tests.conftest import missing
from tests.servers import ServerProcess, free_port
from tests.stacks import Stack, sweep


async def test_a_file_survives_all_that_happens_to_it(browser: Browser, server: ServerProcess, large_file: Path) -> None:
    """A pause, two SIGKILLs and a reload: the page says what happens, begins nothing anew, and the file is whole."""
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, large_file)
    await visitor.until_percent(10)
    await visitor.page.click(PAUSE)
    await visitor.until("paused")
    await visitor.page.click(PAUSE)
    await visitor.until("sending")
    for _ in range(2):
        await asyncio.sleep(1)
        server.kill()
        await visitor.until("waiting")
        assert "Nothing is lost" in await visitor.page.inner_text("#status-text")
        server.start()
        await visitor.until("sending")
    before = len(visitor.patched_at())
    await visitor.until_percent(50)
    await visitor.page.reload()
    await visitor.until("sending")
    await visitor.line(-1)
    assert sha256(await visitor.arrived()) == sha256(large_file)
    assert visitor.methods().count("POST") == 1
    assert visitor.patched_at() == sorted(visitor.patched_at())
    assert visitor.patched_at()[before] > 20_000_000
    assert visitor.wrong == []


FORGET = """() => new Promise((resolve) => {
    setTimeout(() => resolve(false), 5000)
    indexedDB.open('uppy-blobs').onsuccess = ({ target: { result: base } }) => {
        if (!base.objectStoreNames.contains('files')) { base.close(); return resolve(false) }
        const work = base.transaction('files', 'readwrite')
        work.objectStore('files').clear()
        work.oncomplete = () => { base.close(); resolve(true) }
    }
})"""
"""Whether the browser has forgotten the bytes; one that did not answer in five seconds is asked again."""


async def test_a_file_that_the_browser_forgot_is_chosen_again(
    browser: Browser, server: ServerProcess, large_file: Path
) -> None:
    """Without the bytes in the browser, the page asks for the file, and goes on from the server's offset."""
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, large_file)
    await visitor.until_percent(20)
    while not await visitor.page.evaluate(FORGET):
        pass
    await visitor.page.reload()
    await visitor.until("ghosts")
    await visitor.line(-1)
    await visitor.page.set_input_files("#again", large_file)
    assert sha256(await visitor.arrived()) == sha256(large_file)
    assert visitor.methods().count("POST") == 1
    assert visitor.patched_at()[-1] > 0


async def test_an_answer_of_a_broken_proxy_loses_nothing(browser: Browser, server: ServerProcess, large_file: Path) -> None:
    """A HEAD that is answered with 503 is asked again; the upload does not begin anew."""
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, large_file)
    await visitor.until_percent(10)
    await visitor.page.click(PAUSE)
    await visitor.page.route("**/files/*", lambda route: route.fulfill(status=503, body="away"))
    await visitor.page.click(PAUSE)
    await visitor.until("waiting")
    await visitor.page.unroute("**/files/*")
    await visitor.page.click("#try-now")
    assert sha256(await visitor.arrived()) == sha256(large_file)
    assert visitor.methods().count("POST") == 1


async def test_an_upload_that_is_gone_begins_again(browser: Browser, server: ServerProcess, large_file: Path) -> None:
    """When the server has let go of an upload, the page begins it again, says so, and the file arrives."""
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, large_file)
    await visitor.until_percent(10)
    await visitor.page.click(PAUSE)
    (url,) = {one.url for one in visitor.sent if one.method == "PATCH"}
    deleted = await visitor.page.request.delete(url, headers={"Tus-Resumable": "1.0.0"})
    assert deleted.status == 204
    await visitor.page.click(PAUSE)
    await visitor.page.wait_for_selector("#notices li:has-text('begins again')")
    await visitor.line(-1)
    assert sha256(await visitor.arrived()) == sha256(large_file)


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(
    browser: Browser, tmp_path: Path, large_file: Path
) -> None:
    """The page knows the server's limit, and says what to do."""
    with ServerProcess(tmp_path / "small", {"TUSFM_MAX_SIZE": "1000000"}) as server:
        visitor = await visit(browser, f"{server.url}/")
        await visitor.page.wait_for_selector("text=Up to 977")
        await visitor.page.set_input_files(INPUT, large_file)
        await visitor.page.wait_for_selector("#notices li:has-text('that this server takes')")
        assert visitor.methods() == ["OPTIONS"]


async def test_a_finished_file_can_be_deleted(browser: Browser, server: ServerProcess, stack: Stack, tmp_path: Path) -> None:
    """The list shows name and size, outlives a reload, and deletes on the server after a question."""
    file = tmp_path / "grüße.txt"
    file.write_text("hello")
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, file)
    await visitor.arrived()
    await visitor.page.reload()
    link = await visitor.arrived()
    assert "grüße.txt" in await visitor.page.inner_text("#finished")
    assert "5\u00a0bytes" in await visitor.page.inner_text("#finished")
    await visitor.page.click("#finished button:text('Delete')")
    await visitor.page.click("#ask-no")
    assert await (await visitor.page.request.get(link)).body() == b"hello"
    await visitor.page.click("#finished button:text('Delete')")
    await visitor.page.click("#ask-yes")
    await visitor.page.wait_for_selector("#finished-empty:visible")
    assert stack.objects() == {}
    assert visitor.wrong == []


async def test_a_server_that_wants_to_know_its_visitors(browser: Browser, tmp_path: Path) -> None:
    """After a 401 the page asks for a token until one is taken, and goes on; the tab keeps it, and it is in headers only."""
    file = tmp_path / "hello.txt"
    file.write_text("hello")
    end = int(time.time()) + 3600
    right, wrong = token(exp=end), token(OTHER_SECRET, exp=end)
    settings = {"TUSFM_AUTH": "jwt", "TUSFM_JWT_KEY": SECRET, "TUSFM_LOG_LEVEL": "debug"}
    with ServerProcess(tmp_path / "server", settings) as server:
        visitor = await visit(browser, f"{server.url}/")
        page, link = visitor.page, "#finished li a"
        await page.set_input_files(INPUT, file)
        for said, text in (("wants to know", wrong), ("does not take", right)):
            await page.wait_for_selector(f"#token-label:has-text('{said}'):visible")
            await page.fill("#token-text", text)
            await page.press("#token-text", "Enter")
        await visitor.arrived()
        await page.reload()
        async with page.expect_download() as download:
            await page.click(link)
        assert (await (await download.value).path()).read_text() == "hello"
        assert right not in await page.evaluate("JSON.stringify(localStorage)")
        await page.evaluate("sessionStorage.clear()")
        await page.reload()
        await page.click(link)
        await page.wait_for_selector("#token-label:has-text('wants to know'):visible")
        assert not [one.url for one in visitor.sent if right in one.url]
        assert right not in server.log()
    assert visitor.wrong == []


async def test_a_cancelled_upload_leaves_nothing(
    browser: Browser, server: ServerProcess, stack: Stack, large_file: Path
) -> None:
    """Cancelling asks first; then what had arrived is deleted on the server."""
    visitor = await visit(browser, f"{server.url}/")
    await visitor.page.set_input_files(INPUT, large_file)
    await visitor.until_percent(10)
    await visitor.page.click("#uploads [data-cy=cancel]")
    await visitor.page.click("#ask-no")
    await visitor.until("sending")
    await visitor.page.click("#uploads [data-cy=cancel]")
    async with visitor.page.expect_response(lambda answer: answer.request.method == "DELETE") as answer:
        await visitor.page.click("#ask-yes")
    assert (await answer.value).status == 204
    async with asyncio.timeout(60):
        while stack.objects():
            sweep(stack)  # which takes what came late
            await asyncio.sleep(0.1)


@pytest.fixture
async def prefixed(server: ServerProcess) -> AsyncIterator[str]:
    """Put a proxy before the server, which serves it under /up/ and tells it nothing."""

    async def forward(request: web.Request) -> web.StreamResponse:
        kept = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        url = f"{server.url}/{request.match_info['rest']}"
        body = request.content if request.can_read_body else None
        async with session.request(request.method, url, headers=kept, data=body, allow_redirects=False) as answer:
            dropped = {"Content-Length", "Transfer-Encoding", "Connection", "Date", "Server"}
            headers = {name: value for name, value in answer.headers.items() if name not in dropped}
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/up/{rest:.*}", forward)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}/up/"
        await runner.cleanup()


async def test_the_page_works_under_a_prefix(browser: Browser, prefixed: str, large_file: Path) -> None:
    """Behind a proxy that tells the server nothing of its prefix, page, uploads and links stay under the prefix."""
    visitor = await visit(browser, prefixed)
    await visitor.line(-1)
    await visitor.page.set_input_files(INPUT, large_file)
    link = await visitor.arrived()
    assert link.startswith(f"{prefixed}files/")
    got = await visitor.page.request.get(link)
    assert await got.body() == large_file.read_bytes()
    assert visitor.wrong == []


async def test_the_documentation_works_under_a_prefix(browser: Browser, prefixed: str) -> None:
    """There `/docs` finds its own files, and sends its requests to where the server is seen."""
    page = await browser.new_page()
    for spelling in ("docs", "docs/"):
        await page.goto(prefixed + spelling)
        block = page.locator(".opblock", has=page.locator('[data-path="/api/v1/file/upload/init/"]'))
        await block.locator(".opblock-summary-control").click(timeout=60_000)
        await block.locator(".try-out__btn").click()
        async with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
            await block.locator("button.execute").click()
        assert (await answer.value).url == f"{prefixed}api/v1/file/upload/init/"
        assert (await answer.value).status == 200


@pytest.fixture
def index(server: ServerProcess) -> Iterator[tuple[str, dict[str, str], str]]:
    """Fetch the page: its URL, headers and text."""
    if not (DIST / "index.html").exists():
        missing("the built page")
    with urllib.request.urlopen(f"{server.url}/", timeout=10) as answer:
        yield f"{server.url}/", dict(answer.headers), answer.read().decode()


def test_the_page_is_asked_for_each_time_and_its_assets_never_again(index: tuple[str, dict[str, str], str]) -> None:
    """The page has a tag and `no-cache`; what it names has its content's hash in its name, and is kept for ever."""
    url, headers, text = index
    assert headers["Cache-Control"] == "no-cache"
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    with pytest.raises(urllib.error.HTTPError, match="304") as raised:
        urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": headers["Etag"]}), timeout=10)
    raised.value.close()
    names = [part.partition('"')[0] for part in text.split('"assets/')[1:]]
    assert len(names) == 2
    for name in names:
        with urllib.request.urlopen(f"{url}assets/{name}", timeout=10) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
