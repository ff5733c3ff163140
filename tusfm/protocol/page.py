"""The page at `/`: its files are built into tusfm/web/dist, read once, and served from memory."""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

DIST = Path(__file__).parent.parent / "web" / "dist"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; media-src blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
NOT_BUILT = "The page was not built; 'make page' builds it. Uploads to /files/ work all the same.\n"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    body: bytes
    kind: str
    etag: str


def add_page(app: web.Application) -> None:
    """Register the page and its assets."""
    app.router.add_get("/", _index)
    app.router.add_get("/favicon.ico", _icon)
    app.router.add_get("/assets/{name}", _asset)


async def _index(request: web.Request) -> web.Response:
    asset = _load("index.html")
    if asset is None:
        return web.Response(status=503, text=NOT_BUILT)
    return _answer(request, asset, {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY})


async def _icon(request: web.Request) -> web.Response:
    asset = _load("favicon.svg")
    if asset is None:
        raise web.HTTPNotFound
    return _answer(request, asset, {"Cache-Control": "max-age=86400"})


async def _asset(request: web.Request) -> web.Response:
    """Serve a file whose name has its content's hash, so that it can be kept for ever."""
    name = request.match_info["name"]
    asset = _load(name) if name in _names() else None
    if asset is None:
        raise web.HTTPNotFound
    return _answer(request, asset, {"Cache-Control": "public, max-age=31536000, immutable"})


def _answer(request: web.Request, asset: Asset, headers: dict[str, str]) -> web.Response:
    headers = {**headers, "ETag": asset.etag, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
    if request.headers.get(hdrs.IF_NONE_MATCH) == asset.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, headers={**headers, hdrs.CONTENT_TYPE: asset.kind})


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in DIST.iterdir()) if DIST.is_dir() else frozenset()


@cache
def _load(name: str) -> Asset | None:
    try:
        body = (DIST / name).read_bytes()
    except OSError:
        return None
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in {"application/javascript", "image/svg+xml"}
    return Asset(body, f"{kind}; charset=utf-8" if text else kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
