"""What is told of every request: an id, one line, and its figures."""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.streams import StreamReader
from aiohttp.typedefs import Handler, Middleware

from tusfm import logs
from tusfm.ports.watching import CUT, Exchange, Standing, Watch
from tusfm.protocol.web import UPLOAD

REQUEST_ID = "X-Request-ID"
ID_SHAPE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
UPLOAD_SHAPE = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that machines ask every few seconds; their lines are for debugging."""
NO_ROUTE, OTHER_METHOD = "none", "OTHER"
LOOK_SECONDS = 5.0

log = logging.getLogger("tusfm.access")


class Flight:
    """A request that is being answered, and the bytes of its body that were counted."""

    __slots__ = ("content", "counted")

    def __init__(self, content: StreamReader) -> None:
        """Begin with none."""
        self.content = content
        self.counted = 0


class Watching:
    """The outermost middleware, and the requests in flight."""

    def __init__(self, watch: Watch, memory: Callable[[], tuple[int, int]]) -> None:
        """Take who is told, and how to ask for the memory in use and its limit, in bytes."""
        self._watch = watch
        self._memory = memory
        self._flying: set[Flight] = set()
        self._late = 0.0

    @property
    def middleware(self) -> Middleware:
        """The middleware, as aiohttp wants it."""

        @web.middleware
        async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
            logs.REQUEST.set(request_id(request.headers.get(REQUEST_ID)))  # each request has a context of its own
            exchange = Exchange(_method(request), _route(request), request.headers)
            flight = Flight(request.content)
            self._flying.add(flight)
            began = time.perf_counter()
            response: web.StreamResponse | None = None
            try:
                with self._watch.exchange(exchange):
                    response = await handler(request)
                    exchange.status = response.status
                return response
            finally:
                self._flying.discard(flight)
                self._count(flight)
                _tell(request, response, exchange, time.perf_counter() - began)

        return watched

    def _count(self, flight: Flight) -> None:
        total = flight.content.total_bytes
        if total > flight.counted:
            self._watch.received(total - flight.counted)
            flight.counted = total

    def look(self) -> None:
        """Tell what stands now; an upload of hours is counted while it comes."""
        for flight in self._flying:
            self._count(flight)
        used, budget = self._memory()
        self._watch.stands(Standing(requests=len(self._flying), memory=used, budget=budget, late=self._late))

    def told(self, page: Callable[[], Awaitable[bytes]]) -> Callable[[], Awaitable[bytes]]:
        """Write a page of figures with those of this very moment."""

        async def write() -> bytes:
            self.look()
            return await page()

        return write

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """Look every few seconds, for as long as the application lives."""
        task = asyncio.create_task(self._look_on())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.look()
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self._late = max(0.0, loop.time() - due)


def request_id(given: str | None) -> str:
    """Take the client's or the proxy's name for the request if it is a plain word, or make one."""
    if given is not None and ID_SHAPE.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"


def _method(request: web.Request) -> str:
    return request.method if request.method in METHODS else OTHER_METHOD


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical


def _tell(request: web.Request, response: web.StreamResponse | None, exchange: Exchange, seconds: float) -> None:
    level = logging.DEBUG if exchange.route in PROBES else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        "method": exchange.method,
        "route": exchange.route,
        "status": exchange.status,
        "in": request.content.total_bytes,
        "out": _sent(request, response, exchange),
        "ms": round(seconds * 1000, 1),
    }
    shown = "{method} {route} {status} in={in} out={out} ms={ms}".format_map(fields)
    upload = _upload(request, response)
    if upload is not None:
        fields["upload"] = upload
        shown = f"{shown} upload={upload}"
    log.log(level, "%s", shown, extra={"fields": fields})


def _sent(request: web.Request, response: web.StreamResponse | None, exchange: Exchange) -> int:
    if response is None or exchange.status == CUT or request.method == hdrs.METH_HEAD:
        return 0
    return response.content_length or 0


def _upload(request: web.Request, response: web.StreamResponse | None) -> str | None:
    """Name the upload of a request, or the one that it made."""
    name = request.get(UPLOAD) or request.match_info.get("id")
    if name is None and response is not None:
        name = response.headers.get(hdrs.LOCATION, "").rpartition("/")[2]
    return name if name and UPLOAD_SHAPE.fullmatch(name) else None
