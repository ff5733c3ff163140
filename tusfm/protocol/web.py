"""What every face shares of aiohttp: bodies, origins, the headers that all answers bear."""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.streams import StreamReader

from tusfm.domain.errors import BodyBroken

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII)
PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", re.ASCII)
UPLOAD = web.RequestKey("upload", str)
"""The upload that a request is about, for its line in the log, where its route does not say it."""


class RequestBody:
    """The body of one aiohttp request, as the engine reads it."""

    def __init__(self, request: web.Request) -> None:
        """Take a request whose body nobody has read. HTTPNotImplemented."""
        self._request = request
        self._content: StreamReader = request.content
        self._promised = expects_continue(request)
        self.size: int | None = request.content_length or 0
        coding = request.headers.get(hdrs.TRANSFER_ENCODING)
        if coding:
            self.size = None
            if coding.strip(", \t").lower() != "chunked":  # RFC 9112, 6.1: its bytes would be kept as they travelled
                raise web.HTTPNotImplemented(reason="No transfer coding but chunked is understood")

    async def read(self) -> bytes:
        """Return the bytes that have arrived, b"" at the end. BodyBroken, after all that had arrived."""
        await self.begin()
        if self._content.at_eof():
            return b""
        try:
            return await self._content.readany()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            rest = self._salvage()
            if rest:
                return rest
            msg = "The body ended before its end."
            raise BodyBroken(msg) from error

    async def begin(self) -> None:
        """Tell a client that waits for it to go on (rule P9); also right before a 2xx, for some clients insist."""
        if self._promised:
            self._promised = False
            with contextlib.suppress(ConnectionError):
                await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0

    def arrived(self) -> list[bytes]:
        """Take what has arrived and was not read yet."""
        content = self._content
        if content.exception() is not None:
            rest = self._salvage()
            return [rest] if rest else []
        try:
            data = content.read_nowait()
        except RuntimeError:  # somebody waits for bytes, so there are none
            return []
        return [data] if data else []

    def _salvage(self) -> bytes:
        """Hand out what aiohttp had received and, on a disconnect, withholds: its reader raises before it looks."""
        content = self._content
        error = content.exception()
        content._exception = None  # noqa: SLF001  there is no public way to the bytes behind an exception
        try:
            return content.read_nowait()
        finally:
            content._exception = error  # noqa: SLF001

    def pause(self) -> None:
        """Leave the sender unread; one that has sent everything needs no pause, and aiohttp's parser would not have it."""
        if not self._content.is_eof() and self._request.protocol.connected:
            self._request.protocol.pause_reading()

    def resume(self) -> None:
        """Read the sender again."""
        if self._request.protocol.connected:
            self._request.protocol.resume_reading()

    def cut(self) -> None:
        """End the connection without an answer."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()


def expects_continue(request: web.Request) -> bool:
    """Tell whether the client waits for 100 before it sends its body."""
    return request.version >= (1, 1) and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"


async def unexpectant(_: web.Request) -> None:
    """Leave `Expect: 100-continue` to the body's reader: a request that will be refused never hears 100 (rule P9)."""


async def preflight(_: web.Request) -> web.Response:
    """Answer a browser that asks before it calls; what it wants to know is put on every answer."""
    return web.Response(status=204)


@dataclass(frozen=True, slots=True)
class Origins:
    """Which web pages may call us: all, or a list (TUSFM_CORS_ORIGINS)."""

    allowed: frozenset[str] | None

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """Return the CORS headers of an answer to a page of this origin; none when it is not allowed."""
        if self.allowed is None:
            return {"Access-Control-Allow-Origin": "*"}
        if origin in self.allowed and origin is not None:
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return {"Vary": "Origin"}


@dataclass(frozen=True, slots=True)
class Public:
    """Where clients see this server (rule G14): a fixed URL, else what the request says."""

    url: str | None
    behind_proxy: bool

    def base(self, request: web.Request) -> str:
        """Return scheme, host and prefix, without a slash at the end."""
        if self.url:
            return self.url.rstrip("/")
        scheme, host, prefix = request.scheme, request.headers.get(hdrs.HOST, ""), ""
        if self.behind_proxy:
            scheme, host, prefix = self._forwarded(request, scheme, host)
        if not HOST.fullmatch(host):
            return prefix
        return f"{scheme}://{host}{prefix}"

    def _forwarded(self, request: web.Request, scheme: str, host: str) -> tuple[str, str, str]:
        headers = request.headers
        proto = _first(headers.get("X-Forwarded-Proto"))
        name = _first(headers.get("X-Forwarded-Host"))
        port = _first(headers.get("X-Forwarded-Port"))
        standard = request.forwarded[0] if request.forwarded else {}
        proto, name = standard.get("proto", proto), standard.get("host", name)
        if "host" not in standard and name and port.isdecimal() and ":" not in name.rpartition("]")[2]:
            name = f"{name}:{port}"
        prefix = _first(headers.get("X-Forwarded-Prefix")).rstrip("/")
        return (
            proto.lower() if proto.lower() in {"http", "https"} else scheme,
            name if HOST.fullmatch(name) else host,
            prefix if PREFIX.fullmatch(prefix) and "//" not in prefix else "",
        )


def _first(value: str | None) -> str:
    return (value or "").split(",")[0].strip()
