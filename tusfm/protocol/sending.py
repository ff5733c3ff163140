"""Moving a local file's bytes to a socket without reading them: sendfile, and reading where there is none.

uvloop has no sendfile of its own, so the kernel's is called on a duplicate of the connection's descriptor, once aiohttp
has nothing more to write; it runs in a thread, for a slow disk must not hold the loop.
"""

import asyncio
import contextlib
import errno
import os
import sys
from io import FileIO

from aiohttp import web

STEP_BYTES = 1024 * 1024


class Gone(ConnectionError):
    """The client went away."""


async def opened(path: str) -> FileIO | None:
    """Open a file; None when that cannot be."""
    with contextlib.suppress(OSError):
        return await asyncio.get_running_loop().run_in_executor(None, FileIO, path)
    return None


async def send_file(request: web.Request, response: web.StreamResponse, file: int, start: int, length: int) -> None:
    """Send *length* bytes of an open file from *start* on, as the body of a prepared response. ConnectionError."""
    transport = request.transport
    plain = transport is not None and transport.get_extra_info("sslcontext") is None
    if sys.platform == "linux" and plain:
        await _sendfile(request, response, file, start, length)
    else:
        await _read_and_write(response, file, start, length)


async def _read_and_write(response: web.StreamResponse, file: int, start: int, length: int) -> None:
    loop = asyncio.get_running_loop()
    while length:
        data = await loop.run_in_executor(None, os.pread, file, min(length, STEP_BYTES), start)
        if not data:
            raise Gone
        await response.write(data)
        start, length = start + len(data), length - len(data)


async def _sendfile(request: web.Request, response: web.StreamResponse, file: int, start: int, length: int) -> None:
    loop = asyncio.get_running_loop()
    await _flushed(request, response)
    transport = request.transport
    if transport is None:
        raise Gone
    out = os.dup(transport.get_extra_info("socket").fileno())
    try:
        while length:
            sent = await loop.run_in_executor(None, _step, out, file, start, min(length, STEP_BYTES))
            if sent is None:
                await _writable(loop, out, transport)
            elif not sent:
                raise Gone
            else:
                start, length = start + sent, length - sent
    finally:
        os.close(out)


def _step(out: int, file: int, start: int, length: int) -> int | None:
    """Send some; None when the socket takes no more just now."""
    try:
        return os.sendfile(out, file, start, length)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}:
            raise Gone from error
        raise


async def _flushed(request: web.Request, response: web.StreamResponse) -> None:
    """Wait until the head has left aiohttp's and the loop's buffers."""
    await response.write(b"")
    request.writer.send_headers()  # aiohttp holds the head back for the first bytes of a body
    if request.transport is not None:
        request.transport.set_write_buffer_limits(0)  # so that draining waits for the last byte, and not for most
    await request.writer.drain()


async def _writable(loop: asyncio.AbstractEventLoop, out: int, transport: asyncio.Transport) -> None:
    ready = asyncio.Event()
    loop.add_writer(out, ready.set)
    try:
        while not ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await ready.wait()
            if transport.is_closing():
                raise Gone
    finally:
        loop.remove_writer(out)
