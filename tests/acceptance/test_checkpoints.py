"""What was received becomes durable soon, without an end of the body and without anybody asking."""

import asyncio

import pytest

from tests.conformance.client import Client, patch_head, path_of
from tests.servers import ServerProcess
from tests.stacks import Stack
from tusfm import wiring
from tusfm.engine.receiving import SLOW_SECONDS
from tusfm.settings import load


@pytest.mark.parametrize("size", [50_000, 2_500_000])
async def test_a_stalled_body_survives_a_power_cut(server: ServerProcess, stack: Stack, size: int) -> None:
    """Soon after the last byte what had arrived is committed, though nobody asks: SIGKILL then takes nothing away."""
    async with Client([server.url]) as client, wiring.opened(load(stack.settings)) as engine:
        url = await client.made(size + 10)
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, size + 10) + b"a" * size)
            async with asyncio.timeout(60):
                while not (row := await engine.metadata.find(url.rpartition("/")[2])) or row.offset < size:
                    await asyncio.sleep(0.1)
            server.kill()
        server.start()
        assert (await client.head(url)).offset == size


async def test_a_fast_body_is_committed_as_it_comes(server: ServerProcess, stack: Stack) -> None:
    """Of 100 MB that came in most are committed while the body goes on, though it never stalls and nobody asks."""
    size, more = 100_000_000, 10_000
    async with Client([server.url]) as client, wiring.opened(load(stack.settings)) as engine:
        url = await client.made(size + more)
        async with client.raw() as raw, asyncio.timeout(SLOW_SECONDS - 3):
            await raw.send(patch_head(path_of(url), 0, size + more))
            for _ in range(100):
                await raw.send(b"b" * 1_000_000)
            while (row := await engine.metadata.find(url.rpartition("/")[2])) and row.offset < size - 40_000_000:
                await raw.send(b"b")
                await asyncio.sleep(0.1)
            server.kill()
        server.start()
        assert (await client.head(url)).offset >= size - 40_000_000


async def test_many_broken_connections_get_ahead(server: ServerProcess) -> None:
    """A phone that loses its network every 300 kB, with no FIN, still gets ahead, and sends nothing twice."""
    data = bytes(range(256)) * 8_000
    async with Client([server.url]) as client:
        url = await client.made(len(data))
        offset, sent = 0, 0
        connections = []
        while offset < len(data):
            raw = client.raw()
            await raw.__aenter__()
            connections.append(raw)
            step = data[offset : offset + 300_000]
            await raw.send(patch_head(path_of(url), offset, len(data) - offset) + step)
            sent += len(step)
            await raw.taken()
            offset = await client.offset_after(url, sent)
        assert (sent, await client.content(url)) == (len(data), data)
        for raw in connections:
            await raw.__aexit__()
