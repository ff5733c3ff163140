"""Files of our pages: read once, and served from memory."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

UNCHANGING = "public, max-age=31536000, immutable"
ASKED = "no-cache"
"""Kept, and asked for each time whether it has changed."""
PACKED_KINDS = frozenset(
    {"text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml"}
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of a page: *kind* is its Content-Type, *packed* the same bytes under gzip where that is worth it."""

    body: bytes
    packed: bytes | None
    kind: str
    etag: str


def asset(name: str, body: bytes) -> Asset:
    """Make an asset of bytes; the end of its name tells its type."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind in PACKED_KINDS
    packed = gzip.compress(body, mtime=0) if text else None
    return Asset(body, packed, f"{kind}; charset=utf-8" if text else kind, hashlib.sha256(body).hexdigest()[:32])


def read(path: Path) -> Asset:
    """Make an asset of a file."""
    return asset(path.name, path.read_bytes())


def answer(request: web.Request, asset: Asset, headers: Mapping[str, str]) -> web.Response:
    """Answer with an asset, under gzip where the client takes it, or say that it is the one the client has."""
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
