"""The runner: what aiohttp is told, on a raw socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tusfm.protocol import server
from tusfm.protocol.server import LEAST_READ_BYTES, UNREAD_BYTES, Runner, Server


async def echo(request: web.BaseRequest) -> web.Response:
    """Answer with the body's size."""
    return web.Response(text=str(len(await request.read())))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Run a small application."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/", echo)
    runner = Runner(app, {"X-Always": "yes"})
    listening = socket.create_server(("127.0.0.1", 0))
    await runner.serve(listening)
    yield listening.getsockname()[1]
    await runner.drain(1)


async def exchange(port: int, *texts: str, pause: float = 0.05) -> bytes:
    """Send pieces of text with pauses, and read until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for text in texts:
        writer.write(text.encode())
        await asyncio.sleep(pause)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


async def test_what_cannot_be_read_is_answered_in_our_words(port: int) -> None:
    """An answer that no handler gave has HTTP/1.1, our headers and our sentence, and quotes nothing."""
    answer = await exchange(port, "GET / HTTP/1.1\r\nHost: x\r\nBad Header <script>: y\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"X-Always: yes" in answer
    assert b"script" not in answer


async def test_a_slow_head_is_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not come whole in its time ends the connection; bytes now and then do not help it."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    assert await exchange(port, "GET / HTTP/1.1\r\n", "Host: x\r\n", "A: b\r\n", "C: d\r\n", pause=0.1) == b""


async def test_an_idle_connection_and_a_slow_body_are_not_heads(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for heads binds neither a connection between requests nor a body."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    last = head.replace("Host: x", "Host: x\r\nConnection: close")
    answer = await exchange(port, head, "ab", "cd", "", last, "ab", "cd", pause=0.15)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_reads_share_memory_in_sizes_that_fit_into_each_other() -> None:
    """Whatever number of bodies comes in, a read brings a power of two, and all together no more than there is for them."""
    served = Server(web.Server(echo), {})
    for bodies in (0, 1, 64, 65, 100, 1000):
        served.bodies = bodies
        assert served.share.bit_count() == 1
        assert LEAST_READ_BYTES <= served.share <= UNREAD_BYTES // max(1, bodies)
