"""The page at `/`, in Debian's Chromium."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.acceptance.conftest import missing, sha256
from tests.servers import ServerProcess

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DIST = Path(__file__).parent.parent.parent / "tusfm" / "web" / "dist"
BYTES_PER_SECOND = 15_000_000


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium")
    if not (DIST / "index.html").exists():
        missing("the built page")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


async def opened(browser: Browser, server: ServerProcess) -> tuple[Page, list[str]]:
    """Open the page on a slow line; what goes wrong in it is collected."""
    page = await browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: wrong.append(request.url) if not request.url.startswith((server.url, "blob:", "data:")) else None,
    )
    session = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 1, "downloadThroughput": -1, "uploadThroughput": BYTES_PER_SECOND}
    await session.send("Network.emulateNetworkConditions", slow)
    await page.goto(server.url)
    return page, wrong


async def begin(page: Page, file: Path) -> None:
    """Choose a file, and upload."""
    await page.set_input_files("input.uppy-Dashboard-input >> nth=0", file)
    await page.click(".uppy-StatusBar-actionBtn--upload")
    await expect(page.locator(".uppy-StatusBar")).to_contain_text(re.compile(r"[1-9]\d%"))


async def finished(page: Page) -> str:
    """Wait for the file in the list, and return its link."""
    await page.wait_for_selector("#files li a", timeout=90_000)
    return await page.get_attribute("#files li a", "href") or ""


async def test_a_file_survives_a_pause_and_two_killed_servers(
    browser: Browser, server: ServerProcess, large_file: Path
) -> None:
    """Pause, resume, SIGKILL twice: the page says what happens, goes on by itself, and the file arrives whole."""
    page, wrong = await opened(browser, server)
    await begin(page, large_file)
    await page.click(".uppy-StatusBar-actionCircleBtn >> nth=0")
    await page.wait_for_timeout(400)
    await page.click(".uppy-StatusBar-actionCircleBtn >> nth=0")
    for _ in range(2):
        await page.wait_for_timeout(700)
        server.kill()
        await expect(page.locator("#notice")).to_contain_text("Nothing is lost", timeout=20_000)
        server.start()
    assert sha256(await finished(page)) == sha256(large_file)
    assert wrong == []


async def test_a_file_goes_on_after_a_reload(browser: Browser, server: ServerProcess, large_file: Path) -> None:
    """After a reload the file is there again, and goes on from the server's offset and not from the beginning."""
    page, _ = await opened(browser, server)
    await begin(page, large_file)
    await page.wait_for_timeout(1500)
    await page.reload()
    offsets: list[int] = []
    page.on("request", lambda sent: offsets.append(int(sent.headers["upload-offset"])) if sent.method == "PATCH" else None)
    await page.wait_for_selector(".uppy-Dashboard-Item")
    await page.click(".uppy-StatusBar-actionBtn--upload")
    assert sha256(await finished(page)) == sha256(large_file)
    assert offsets
    assert offsets[0] > 0


async def test_a_finished_file_can_be_deleted(browser: Browser, server: ServerProcess, tmp_path: Path) -> None:
    """The list shows name and size, survives a reload, and deletes on the server after asking."""
    file = tmp_path / "note.txt"
    file.write_text("hello")
    page, wrong = await opened(browser, server)
    await page.set_input_files("input.uppy-Dashboard-input >> nth=0", file)
    await page.click(".uppy-StatusBar-actionBtn--upload")
    await finished(page)
    await page.reload()
    assert "note.txt" in await page.inner_text("#files")
    assert "5 bytes" in await page.inner_text("#files")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("text=Delete")
    await page.wait_for_selector("#empty:visible")
    assert server.files() == []
    assert wrong == []
