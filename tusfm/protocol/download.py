"""Downloads of finished uploads."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from io import FileIO

from aiohttp import hdrs, web

from tusfm.engine.reading import StoredObject
from tusfm.protocol import ranges
from tusfm.protocol.disposition import content_disposition, content_type
from tusfm.protocol.ranges import Stretch, Unsatisfiable
from tusfm.protocol.sending import opened, send_file

NOT_MODIFIED = 304


async def send(request: web.Request, obj: StoredObject) -> web.StreamResponse:
    """Answer a GET: the whole, a range, several ranges, not modified, or not satisfiable; a HEAD like one of the whole."""
    etag, modified = f'"{obj.id}"', obj.finished_at // 1000  # an id's bytes never change, so the tag is a strong one
    headers = {
        hdrs.ETAG: etag,
        hdrs.LAST_MODIFIED: formatdate(modified, usegmt=True),
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.CONTENT_DISPOSITION: content_disposition(obj.filetype, obj.filename),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    failed = _precondition(request, etag, modified)
    if failed is not None:
        text = None if failed == NOT_MODIFIED else "The file is not the one that the request is meant for.\n"
        return web.Response(status=failed, text=text, headers=headers)
    try:
        wanted = _wanted(request, obj.size, etag, modified)
    except Unsatisfiable:
        text = f"The file has {obj.size} bytes, and none of them is in the range.\n"
        return web.Response(status=416, text=text, headers={hdrs.CONTENT_RANGE: f"bytes */{obj.size}"})
    if len(wanted) > 1:
        return await _send_parts(request, obj, wanted, headers)
    return await _send_one(request, obj, wanted[0] if wanted else None, headers)


def _precondition(request: web.Request, etag: str, modified: int) -> int | None:
    """Return 412 or 304 when a condition says so, in the order of RFC 9110, 13.2.2."""
    asked = request.headers
    if hdrs.IF_MATCH in asked:
        if not ranges.matches(_list(request, hdrs.IF_MATCH), etag, weak=False):
            return 412
    elif hdrs.IF_UNMODIFIED_SINCE in asked:
        since = ranges.seconds(asked[hdrs.IF_UNMODIFIED_SINCE])
        if since is not None and modified > since:
            return 412
    if hdrs.IF_NONE_MATCH in asked:
        return NOT_MODIFIED if ranges.matches(_list(request, hdrs.IF_NONE_MATCH), etag, weak=True) else None
    since = ranges.seconds(asked.get(hdrs.IF_MODIFIED_SINCE, ""))
    return NOT_MODIFIED if since is not None and modified <= since else None


def _list(request: web.Request, name: str) -> str:
    """Return a header that is a list; it may come in several lines (RFC 9110, 5.3)."""
    return ",".join(request.headers.getall(name))


def _wanted(request: web.Request, size: int, etag: str, modified: int) -> Sequence[Stretch]:
    """Read which bytes are asked for; a range means nothing to other methods than GET (RFC 9110, 14.2)."""
    header = request.headers.get(hdrs.RANGE) if request.method != hdrs.METH_HEAD else None
    condition = request.headers.get(hdrs.IF_RANGE)
    if header is None or (condition is not None and not ranges.unchanged(condition, etag, modified)):
        return ()
    return ranges.parse(header, size)


async def _send_one(
    request: web.Request,
    obj: StoredObject,
    stretch: Stretch | None,
    headers: dict[str, str],
) -> web.StreamResponse:
    response = web.StreamResponse(status=200 if stretch is None else 206, headers=headers)
    whole = stretch or Stretch(0, obj.size)
    if stretch is not None:
        response.headers[hdrs.CONTENT_RANGE] = stretch.content_range(obj.size)
    response.headers[hdrs.CONTENT_TYPE] = content_type(obj.filetype)
    response.content_length = whole.length
    if request.method == hdrs.METH_HEAD:
        return response
    body = await _Body.opened(obj, whole)
    with body.closing():
        await response.prepare(request)
        await body.write(request, response)
    await response.write_eof()
    return response


async def _send_parts(
    request: web.Request,
    obj: StoredObject,
    stretches: Sequence[Stretch],
    headers: dict[str, str],
) -> web.StreamResponse:
    """Send several ranges as multipart/byteranges (RFC 9110, 14.6)."""
    boundary = secrets.token_hex(16)
    kind = content_type(obj.filetype)
    heads = [
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {one.content_range(obj.size)}\r\n\r\n".encode()
        for one in stretches
    ]
    end = f"--{boundary}--\r\n".encode()
    response = web.StreamResponse(status=206, headers=headers)
    response.headers[hdrs.CONTENT_TYPE] = f"multipart/byteranges; boundary={boundary}"
    parts = zip(heads, stretches, strict=True)
    response.content_length = sum(len(head) + one.length + 2 for head, one in parts) + len(end)
    body = await _Body.opened(obj, stretches[0])
    for head, stretch in zip(heads, stretches, strict=True):
        if stretch is not stretches[0]:
            body = await _Body.opened(obj, stretch)
        with body.closing():
            await response.prepare(request)
            await response.write(head)
            await body.write(request, response)
        await response.write(b"\r\n")
    await response.write_eof(end)
    return response


@dataclass(frozen=True, slots=True)
class _Body:
    """A stretch that can be sent: its first bytes are here, or its file is open.

    A storage that is away can so still be answered with a status.
    """

    obj: StoredObject
    stretch: Stretch
    first: bytes
    rest: AsyncIterator[bytes] | None
    file: FileIO | None = None

    @classmethod
    async def opened(cls, obj: StoredObject, stretch: Stretch) -> "_Body":
        file = None if obj.path is None else await opened(obj.path)
        if file is not None:
            return cls(obj, stretch, b"", None, file)
        pieces = obj.read(stretch.start, stretch.length)
        return cls(obj, stretch, await anext(pieces, b""), pieces)

    def closing(self) -> AbstractContextManager[object]:
        return self.file or nullcontext()

    async def write(self, request: web.Request, response: web.StreamResponse) -> None:
        if self.file is not None:
            await send_file(request, response, self.file.fileno(), self.stretch.start, self.stretch.length)
        if self.rest is not None:
            await response.write(self.first)
            async for piece in self.rest:
                await response.write(piece)
