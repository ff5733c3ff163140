"""A proxy before an S3 server that counts what passes, and fails what it is told to."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

import aiohttp
import yarl
from aiohttp import web

from tests.servers import free_port
from tests.services.s3 import S3Server

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
STALL_SECONDS = 3600
ERRORS = {"error": (500, "InternalError"), "slow down": (503, "SlowDown"), "forbidden": (403, "AccessDenied")}
ERRORS |= {"full": (507, "XMinioStorageFull")}


@dataclass
class Fault:
    """What becomes of some requests of an operation ("" for all): those from the *first* on, so *many* of them.

    *how*: a name in ERRORS, "cut" (the connection ends), "stall" (nothing comes), "delay" (so many *seconds*).
    *after*: the server has applied it, and its answer is lost.
    """

    operation: str
    how: str
    first: int = 1
    many: int = 1
    after: bool = False
    seconds: float = 0.0
    seen: int = 0

    def strikes(self, operation: str) -> bool:
        """Count a request, and tell whether it is one of them."""
        if self.operation not in {"", operation}:
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.many


@dataclass
class S3Proxy:
    """Runs in a thread of its own, from start to stop."""

    server: S3Server
    counts: Counter[str] = field(default_factory=Counter)
    up: int = 0
    down: int = 0
    slow: float = 0.0
    """Seconds that each piece of a body is held up."""
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose a port."""
        self._port = free_port()
        self._stalled: list[asyncio.Transport] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.proxied = S3Server(f"http://127.0.0.1:{self._port}", self.server.key, self.server.secret)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fail(self, operation: str, how: str, **more: float) -> Fault:
        """Add a fault."""
        fault = Fault(operation, how, **more)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    async def let_go(self) -> None:
        """End stalled connections, so that what the other side could not send does not outlive its test."""
        for transport in self._stalled:
            self._loop.call_soon_threadsafe(transport.abort)
        await asyncio.sleep(0.1)

    def clear(self) -> None:
        """Let everything pass, and count from nothing."""
        self.faults.clear()
        self.counts.clear()
        self.up = self.down = 0

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        )
        self._runner = web.ServerRunner(web.Server(self._pass), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.05)  # aiohttp's connections are closed a moment after their session

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        operation = operation_of(request)
        self.counts[operation] += 1
        fault = next((one for one in self.faults if one.strikes(operation)), None)
        if fault is not None and not fault.after:
            failed = await self._fail(request, fault)
            if failed is not None:
                return failed
        lost = fault is not None and fault.after
        url = yarl.URL(self.server.url + request.raw_path, encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = self._counted(request) if request.can_read_body else None
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                if lost:
                    await answer.read()
                    assert fault is not None
                    return await self._fail(request, fault) or await self._relay(request, answer)
                return await self._relay(request, answer)
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)

    async def _relay(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            self.down += len(data)
            await response.write(data)
        await response.write_eof()
        return response

    async def _counted(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        async for data in request.content.iter_any():
            self.up += len(data)
            await asyncio.sleep(self.slow)
            yield data

    async def _fail(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse | None:
        if fault.how == "delay":
            await asyncio.sleep(fault.seconds)
            return None
        assert request.transport is not None
        if fault.how == "stall":  # for so long, if that is said
            self._stalled.append(request.transport)
            await asyncio.sleep(fault.seconds or STALL_SECONDS)
        if fault.how in ERRORS:
            if request.can_read_body:
                async for _ in self._counted(request):
                    pass
            status, code = ERRORS[fault.how]
            return web.Response(status=status, body=f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode())
        return _cut(request)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # which nobody hears


def operation_of(request: web.BaseRequest) -> str:
    """Name what a request asks, in S3's words."""
    method, query = request.method, request.query
    if request.path.strip("/").count("/") == 0:
        return _of_bucket(method, query)
    if method == "PUT":
        part = "partNumber" in query
        copied = "x-amz-copy-source" in request.headers
        return ("UploadPartCopy" if copied else "UploadPart") if part else "PutObject"
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return "HeadObject" if method == "HEAD" else "GetObject"


def _of_bucket(method: str, query: object) -> str:
    assert hasattr(query, "__contains__")
    if "delete" in query:
        return "DeleteObjects"
    if "uploads" in query:
        return "ListMultipartUploads"
    if "policy" in query:
        return "BucketPolicy"
    return {"HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, "ListObjects")
