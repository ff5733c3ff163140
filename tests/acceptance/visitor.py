"""Someone who has the page open in Debian's Chromium."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, CDPSession, Page, Request, async_playwright

from tests.conftest import missing

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DIST = Path(__file__).parent.parent.parent / "tusfm" / "web" / "dist"
SLOW = 6_000_000  # bytes a second: 60 MB take ten seconds
INPUT = "#uploads input.uppy-Dashboard-input >> nth=0"
PAUSE = "#uploads [data-cy=togglePauseResume]"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    if not (DIST / "index.html").exists():
        missing("the built page")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


class Visitor:
    """Someone with the page open, and what the page asked of the network meanwhile."""

    def __init__(self, page: Page, url: str, line: CDPSession) -> None:
        """Take a page that nobody has looked at yet."""
        self.page = page
        self._url = url
        self._line = line
        self.sent: list[Request] = []
        self.wrong: list[str] = []
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _note(self, request: Request) -> None:
        self.sent.append(request)
        if not request.url.startswith((self._url, "blob:", "data:")):
            self.wrong.append(request.url)

    async def line(self, bytes_per_second: int) -> None:
        """Set the speed of the line to the server; -1 is no limit."""
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
        await self._line.send("Network.emulateNetworkConditions", limits)

    async def until(self, kind: str) -> None:
        """Wait until the status line is of a kind: sending, waiting, paused."""
        await self.page.wait_for_selector(f"#status[data-kind={kind}]:visible", timeout=60_000)

    async def until_percent(self, percent: int) -> None:
        """Wait until so much was sent."""
        async with asyncio.timeout(60):
            while await self._percent() < percent:
                await asyncio.sleep(0.1)

    async def _percent(self) -> int:
        said, _, rest = (await self.page.title()).partition(" % ")
        return int(said) if rest else 0

    async def arrived(self) -> str:
        """Wait for a file in the list, and return its link."""
        await self.page.wait_for_selector("#finished li a", timeout=60_000)
        return await self.page.get_attribute("#finished li a", "href") or ""

    def methods(self) -> list[str]:
        """List what was asked of the upload endpoint, in order."""
        return [one.method for one in self.sent if "/files/" in one.url]

    def patched_at(self) -> list[int]:
        """List the offsets at which bytes were sent."""
        return [int(one.headers["upload-offset"]) for one in self.sent if one.method == "PATCH"]


async def visit(browser: Browser, url: str) -> Visitor:
    """Open the page on a slow line."""
    page = await browser.new_page()
    visitor = Visitor(page, url, await page.context.new_cdp_session(page))
    await visitor.line(SLOW)
    await page.goto(url)
    return visitor
