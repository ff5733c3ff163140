"""A server that is asked to stop: bodies are checkpointed, clients are told to come again, nothing is sent twice."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.conformance.client import VERSION, Answer, Client, Raw, patch_head, path_of, request
from tests.servers import ServerProcess
from tests.stacks import Stack


async def stopping(server: ServerProcess) -> int:
    """Send SIGTERM, and wait for the end."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(server.process.wait, 60)


@pytest.mark.parametrize("size", [1000, 3_000_000])
async def test_a_running_patch_is_checkpointed_and_answered_503(server: ServerProcess, size: int) -> None:
    """A PATCH in progress is answered 503 with Retry-After: 1 and Connection: close; what had arrived is there afterwards."""
    async with Client([server.url]) as client:
        url = await client.made(size + 10)
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, size + 10) + b"a")
            assert await client.offset_after(url, 1) == 1
            await raw.send(b"a" * (size - 1))
            await raw.taken()
            ending = asyncio.create_task(stopping(server))
            answer = await raw.answer()
            assert (answer.status, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "1", "close")
        assert await ending == 0
        server.start()
        assert (await client.head(url)).offset == size
        assert (await client.patch(url, size, b"b" * 10)).status == 204
        assert await client.content(url) == b"a" * size + b"b" * 10


async def test_a_creation_with_its_body_is_answered_201_with_its_offset(server: ServerProcess, stack: Stack) -> None:
    """The client does not know the URL yet, so a 503 would lose what it sent."""
    async with Client([server.url]) as client:
        async with client.raw() as raw:
            head = (
                patch_head("/files/", 0, 5000).replace(b"PATCH", b"POST").replace(b"Upload-Offset: 0", b"Upload-Length: 5000")
            )
            await raw.send(head + b"c" * 2000)
            async with asyncio.timeout(60):
                while not stack.rows():
                    await asyncio.sleep(0.1)
            ending = asyncio.create_task(stopping(server))
            answer = await raw.answer()
        assert (answer.status, answer.offset) == (201, 2000)
        assert await ending == 0
        server.start()
        assert (await client.head("/files/" + answer.location.rpartition("/")[2])).offset == 2000


async def test_an_idle_server_ends_at_once(server: ServerProcess) -> None:
    """Idle connections do not hold the end up."""
    async with Client([server.url]) as client, client.raw() as raw:
        await raw.send(request("OPTIONS", "/files/", VERSION))
        assert (await raw.answer()).status == 204
        async with asyncio.timeout(20):
            assert await stopping(server) == 0
        assert await raw.closed()


async def test_a_download_may_end_before_the_server_does(server: ServerProcess, tmp_path: Path) -> None:
    """A download that is running when the server is asked to stop gets its time."""
    data = bytes(range(256)) * 40_000
    async with Client([server.url]) as client:
        url = await client.whole(data)
        async with client.raw() as raw:
            await raw.send(request("GET", path_of(url), {**VERSION, "Connection": "close"}))
            got = await raw.reader.readexactly(100_000)
            ending = asyncio.create_task(stopping(server))
            await asyncio.sleep(0.8)
            got += await raw.reader.read()
        assert got.partition(b"\r\n\r\n")[2] == data
        assert await ending == 0


async def test_a_download_that_nobody_reads_ends_with_the_time(tmp_path: Path) -> None:
    """After TUSFM_DRAIN_TIMEOUT the server ends, whatever is under way; a default of half a minute would be seen here."""
    with ServerProcess(tmp_path, {"TUSFM_DRAIN_TIMEOUT": "1"}) as server:
        async with Client([server.url]) as client:
            url = await client.whole(bytes(20_000_000))
            async with client.raw() as raw:
                await raw.send(request("GET", path_of(url), {**VERSION, "Connection": "close"}))
                await raw.reader.readexactly(100_000)
                async with asyncio.timeout(25):
                    assert await stopping(server) == 0


async def unready(balancer: Raw) -> Answer:
    """Ask until the answer is no."""
    async with asyncio.timeout(20):
        while True:
            await balancer.send(request("GET", "/readyz", {}))
            answer = await balancer.answer()
            if answer.status != 200:
                return answer


async def test_readyz_says_no_as_soon_as_draining_begins(server: ServerProcess) -> None:
    """While a download is still running /readyz is 503, on connections that a balancer holds; it takes no new ones."""
    data = bytes(range(256)) * 80_000
    async with Client([server.url]) as client:
        url = await client.whole(data)
        async with client.raw() as raw, client.raw() as balancer:
            await raw.send(request("GET", path_of(url), {**VERSION, "Connection": "close"}))
            got = await raw.reader.readexactly(100_000)
            await balancer.send(request("GET", "/readyz", {}))
            assert (await balancer.answer()).status == 200
            ending = asyncio.create_task(stopping(server))
            answer = await unready(balancer)
            assert (answer.status, answer.body) == (503, b"The server is stopping.\n")
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", server.port)
            got += await raw.reader.read()
        assert got.partition(b"\r\n\r\n")[2] == data
        assert await ending == 0
