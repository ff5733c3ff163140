"""Many clients at once: memory stays bounded by bytes, and nobody is refused."""

import asyncio
import resource
from pathlib import Path

from sqlalchemy.engine import URL

from tests.conformance.client import Client, noise, patch_head, path_of
from tests.deployments import BUCKET
from tests.hostile.test_framing import resident
from tests.servers import ServerProcess
from tests.services.s3 import S3Server
from tests.stacks import ProductionStack, migrated

KIB, MIB = 1024, 1024 * 1024
BUDGET = 256 * MIB  # the default
STEP = 4 * KIB
BESIDE = 150 * MIB  # what a process takes that holds no upload


async def slowly(client: Client, data: bytes) -> str:
    """Send 4 KiB a second; whom a busy machine tells to come again does."""
    url, offset = await client.made(len(data)), 0
    while offset < len(data):
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), offset, len(data) - offset))
            for at in range(offset, len(data), STEP):
                await raw.send(data[at : at + STEP])
                await asyncio.sleep(1)
            assert (await raw.answer(60)).status in {204, 503}
        offset = (await client.head(url)).offset
    return url


async def test_many_slow_clients_and_a_fast_one(mysql_server: URL, minio_server: S3Server, tmp_path: Path) -> None:
    """Three hundred clients send 4 KiB a second, and a fast one sends beside them: memory stays under the budget and what a
    process needs, and every byte is there.
    """
    small, large = noise(8 * STEP), noise(64 * MIB)
    with (
        migrated(mysql_server) as url,
        ServerProcess(tmp_path, ProductionStack(url, minio_server, BUCKET).settings) as server,
    ):
        async with Client([server.url]) as client:
            crowd = [asyncio.create_task(slowly(client, small)) for _ in range(300)]
            fast = asyncio.create_task(client.whole(large))
            most = 0
            while not all(task.done() for task in (*crowd, fast)):
                most = max(most, resident(server))
                await asyncio.sleep(0.2)
            assert most < BUDGET + BESIDE, f"{most // MIB} MiB"
            assert await client.content(fast.result()) == large
            for task in crowd:
                assert await client.content(task.result()) == small


async def test_five_thousand_idle_connections_refuse_nobody(tmp_path: Path) -> None:
    """Whoever comes while they stand there is served."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ServerProcess(tmp_path) as server:
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            while len(opened) < 5000:
                opened += [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
            async with Client([server.url]) as client:
                assert await client.content(await client.whole(b"hello")) == b"hello"
        finally:
            for _, writer in opened:
                writer.close()
