"""The page at `/`: its files are built into tusfm/web/dist, read once, and served from memory."""

from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

from tusfm.protocol import assets
from tusfm.protocol.assets import Asset

DIST = Path(__file__).parent.parent / "web" / "dist"
INDEX, ICON = "index.html", "favicon.svg"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",  # Uppy's previews and icons
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ),
)
NOT_BUILT = "The page was not built; 'make page' builds it. Uploads to files/ work all the same.\n"


def add_page(app: web.Application) -> None:
    """Register the page, its icon and its assets."""
    app.router.add_get("/", _index)
    app.router.add_get("/favicon.ico", _icon)
    app.router.add_get("/assets/{name}", _asset)


async def _index(request: web.Request) -> web.Response:
    """Serve the page; its name stays, so a browser asks each time whether it has changed."""
    try:
        asset = _built()[INDEX]
    except FileNotFoundError:
        return web.Response(status=503, text=NOT_BUILT)
    return assets.answer(request, asset, {hdrs.CACHE_CONTROL: assets.ASKED, "Content-Security-Policy": POLICY})


async def _icon(request: web.Request) -> web.Response:
    """Serve the icon; browsers ask for it under this name."""
    return assets.answer(request, _known(ICON), {hdrs.CACHE_CONTROL: "public, max-age=86400"})


async def _asset(request: web.Request) -> web.Response:
    """Serve a file whose name has its content's hash, so that it can be kept for ever."""
    return assets.answer(request, _known(request.match_info["name"]), {hdrs.CACHE_CONTROL: assets.UNCHANGING})


def _known(name: str) -> Asset:
    """Return one of the built files; no path is made of what a client asks for."""
    try:
        return _built()[name]
    except (FileNotFoundError, KeyError):
        raise web.HTTPNotFound from None


@cache
def _built() -> dict[str, Asset]:
    """Read all files of one build. Raise FileNotFoundError where there is none; then the next call looks again."""
    files = {path.name: assets.read(path) for path in DIST.iterdir() if path.is_file() and not path.name.startswith(".")}
    if INDEX not in files:
        raise FileNotFoundError(INDEX)
    return files
