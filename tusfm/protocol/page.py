"""The page at `/`: its files are built into tusfm/web/dist, read once, and served from memory."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web

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
UNCHANGING = "public, max-age=31536000, immutable"
PACKED_KINDS = frozenset({"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"})


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page: *kind* is its Content-Type, *packed* the same bytes under gzip where that is worth it."""

    body: bytes
    packed: bytes | None
    kind: str
    etag: str


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
    return _answer(request, asset, {hdrs.CACHE_CONTROL: "no-cache", "Content-Security-Policy": POLICY})


async def _icon(request: web.Request) -> web.Response:
    """Serve the icon; browsers ask for it under this name."""
    return _answer(request, _known(ICON), {hdrs.CACHE_CONTROL: "public, max-age=86400"})


async def _asset(request: web.Request) -> web.Response:
    """Serve a file whose name has its content's hash, so that it can be kept for ever."""
    return _answer(request, _known(request.match_info["name"]), {hdrs.CACHE_CONTROL: UNCHANGING})


def _known(name: str) -> Asset:
    """Return one of the built files; no path is made of what a client asks for."""
    try:
        return _built()[name]
    except (FileNotFoundError, KeyError):
        raise web.HTTPNotFound from None


def _answer(request: web.Request, asset: Asset, headers: dict[str, str]) -> web.Response:
    """Answer with the file, under gzip where the client takes it, or say that it is the one the client has."""
    packed = asset.packed if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "") else None
    etag = f'"{asset.etag}-gzip"' if packed else f'"{asset.etag}"'
    headers = {
        **headers,
        hdrs.ETAG: etag,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=packed or asset.body, headers={**headers, hdrs.CONTENT_TYPE: asset.kind})


@cache
def _built() -> dict[str, Asset]:
    """Read all files of one build. Raise FileNotFoundError where there is none; then the next call looks again."""
    files = {path.name: _read(path) for path in DIST.iterdir() if path.is_file() and not path.name.startswith(".")}
    if INDEX not in files:
        raise FileNotFoundError(INDEX)
    return files


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind in PACKED_KINDS
    packed = gzip.compress(body, mtime=0) if text else None
    return Asset(body, packed, f"{kind}; charset=utf-8" if text else kind, hashlib.sha256(body).hexdigest()[:32])
