"""How the application is run: what aiohttp has to be told, and what its parser refuses before any handler."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler, _ErrInfo

HEAD_SECONDS = 30.0  # a whole request head must come within
KEEP_ALIVE_SECONDS = 75.0  # longer than the usual proxy's, so that it is the proxy that closes
LINE_BYTES = 32 * 1024  # 16 KiB of metadata must fit into a header line
HEADERS = 128
HEAD_BYTES = 128 * 1024  # a whole request head; as many lines as there may be, each as long as it may be, would be 4 MiB
LINGER_SECONDS = 1.0  # for a client that still sends a body that was refused
READ_BYTES = 256 * 1024
LEAST_READ_BYTES = 4 * 1024
UNREAD_BYTES = 16 * 1024 * 1024  # of all bodies together that sockets brought and no handler has taken
BACKLOG = 1024
LOOK_SECONDS = 0.05

log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """aiohttp's handler of one connection, with a time limit for heads and our own words for what it cannot parse.

    What is still to come of a body of known length goes past the parser, which would copy it.
    """

    __slots__ = ("_head_bytes", "_head_timer", "_lacking", "_last_body", "_receives")

    def __init__(self, manager: "Server", **kwargs: Any) -> None:  # noqa: ANN401  aiohttp's own
        """Take what aiohttp gives."""
        super().__init__(manager, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._last_body: StreamReader | None = None
        self._lacking = 0  # bytes of the last body that go past the parser
        self._receives = False

    @property
    def busy(self) -> bool:
        """Whether a request is being answered: aiohttp does not wait for the next one."""
        return self._waiter is None or bool(self._messages)

    def data_received(self, data: bytes) -> None:
        """Give a head that has begun its time and its size; bytes of a body pass by."""
        if self._lacking and data:
            data = self._pass(data)
            if not data:
                self._count_body()
                return
        receives_body, before = self._last_body is not None and not self._last_body.is_eof(), self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._begin_body(*self._messages[-1])
            self._stop_timer()
        elif data and not receives_body:
            self._take_head(len(data))
        if self._request_in_progress:
            self._end_broken_body()
        self._count_body()

    def _count_body(self) -> None:
        """Tell the server whether a body comes in here: all that do share its memory."""
        receives = self._last_body is not None and not self._last_body.is_eof()
        if receives != self._receives and isinstance(self._manager, Server):
            self._receives = receives
            self._manager.bodies += 1 if receives else -1

    def _begin_body(self, message: RawRequestMessage | _ErrInfo, body: StreamReader) -> None:
        self._last_body = body
        if isinstance(message, _ErrInfo) or message.chunked or message.upgrade or body.is_eof():
            return
        lacking = int(message.headers.get(hdrs.CONTENT_LENGTH, 0)) - body.total_bytes
        if lacking >= READ_BYTES:  # fewer are copied sooner than a parser is made
            self._lacking = lacking

    def _pass(self, data: bytes) -> bytes:
        """Take bytes of the body, and return those behind it, for a new parser: the old one never saw the body's end."""
        assert self._last_body is not None
        piece, rest = data[: self._lacking], data[self._lacking :]
        self._lacking -= len(piece)
        self._last_body.feed_data(piece)
        if not self._lacking:
            self._parser = self._new_parser()
            self._last_body.feed_eof()
        return rest

    def _new_parser(self) -> HttpRequestParser:
        """Make a parser like the one that aiohttp made."""
        return HttpRequestParser(
            self,
            self._loop,
            LEAST_READ_BYTES,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
        )

    def _take_head(self, size: int) -> None:
        """Count bytes of a head that is not whole yet; its time begins when no request before it is being answered."""
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self.force_close()
        elif self._head_timer is None and not self._request_in_progress:
            self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)

    def _end_broken_body(self) -> None:
        """Tell the reader of a body whose framing broke: aiohttp queues its 400 behind a request that would wait for ever."""
        request = self._current_request
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo) and request is not None:
            content = request.content
            if not content.is_eof() and content.exception() is None:
                content.set_exception(web.RequestPayloadError("the body's framing is broken"))

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp lets the connection end here
        """Stay for what has come whole: a sender may close its side at once, and still reads the answer."""
        if not (self.busy and self._last_body is not None and self._last_body.is_eof()):
            return False
        self._close_when_idle()
        return True

    def _close_when_idle(self) -> None:
        if self.busy:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._close_when_idle)
        else:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer too."""
        self._stop_timer()
        self._last_body = None
        self._count_body()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.busy:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it quotes the input
    ) -> web.StreamResponse:
        """Answer what could not be parsed with one sentence that quotes nothing."""
        log.debug("a request from %s could not be read: %s", request.remote, type(exc).__name__)  # its text quotes headers
        manager = self._manager
        headers = manager.error_headers if isinstance(manager, Server) else {}
        response = web.Response(status=status, text="The request could not be read as HTTP.\n", headers=headers)
        response.force_close()
        return response


class Intake(asyncio.BufferedProtocol):
    """Reads a connection's socket, no more at once than its share: aiohttp holds one read that no handler has taken."""

    def __init__(self, server: "Server", connection: Connection) -> None:
        """Take the connection that the bytes are for."""
        self._server = server
        self._buffer = server.buffer
        self.connection_made = connection.connection_made  # type: ignore[method-assign]
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self._take = connection.data_received

    def get_buffer(self, _: int) -> memoryview:
        """Return where the next read goes; all connections use the same place, one after another."""
        return self._buffer[: self._server.share]

    def buffer_updated(self, size: int) -> None:
        """Take what was read."""
        self._take(bytes(self._buffer[:size]))


class Server(web.Server):
    """Makes our kind of connection."""

    def __init__(self, made: web.Server, error_headers: Mapping[str, str], **kwargs: Any) -> None:  # noqa: ANN401
        """Take over from the server that aiohttp's runner made."""
        super().__init__(made.request_handler, request_factory=self._request, **kwargs)
        self._make = made.request_factory
        self.error_headers = error_headers
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.bodies = 0
        """Connections that a body comes in on."""

    @property
    def share(self) -> int:
        """Bytes that one read may bring: a power of two, so that one fits where another was, and memory does not crumble."""
        fair = max(LEAST_READ_BYTES, min(READ_BYTES, UNREAD_BYTES // max(1, self.bodies)))
        return 1 << fair.bit_length() - 1

    def _request(self, message: RawRequestMessage, *rest: Any) -> web.BaseRequest:  # noqa: ANN401  aiohttp's own
        """Make a request; one that was not understood is answered in HTTP/1.1 like all others."""
        if message.method == "UNKNOWN":
            message = message._replace(version=HttpVersion11)
        return self._make(message, *rest)

    def __call__(self) -> Intake:  # type: ignore[override]  # aiohttp reads by itself
        """Make the handler of a new connection."""
        return Intake(self, Connection(self, loop=self._loop, **self._kwargs))


class Runner(web.AppRunner):
    """Runs the application on a listening socket, and drains it."""

    def __init__(self, app: web.Application, error_headers: Mapping[str, str]) -> None:
        """Take the application, and what an answer bears that no handler gave."""
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,  # an offset counts bytes as they were sent
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            read_bufsize=LEAST_READ_BYTES,  # so that one read is left until it is taken
            shutdown_timeout=1.0,  # whatever deserves time got it in drain
        )
        self._error_headers = error_headers

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        return Server(made, self._error_headers, loop=asyncio.get_running_loop(), **self._kwargs)

    async def serve(self, listening: socket.socket) -> None:
        """Start, and accept connections."""
        await self.setup()
        await web.SockSite(self, listening, backlog=BACKLOG).start()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109  the requests' time, not this call's
        """Accept nothing more, let requests end that are being answered, then close everything."""
        for site in list(self.sites):
            await site.stop()
        await self.shutdown()
        end = asyncio.get_running_loop().time() + timeout
        while self._busy() and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(LOOK_SECONDS)
        await self.cleanup()

    def _busy(self) -> bool:
        connections = self.server.connections if self.server else []
        return any(isinstance(one, Connection) and one.busy for one in connections)
