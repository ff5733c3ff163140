"""Many clients at once: memory stays bounded by bytes, and nobody is refused."""

import asyncio
import re
import resource
from pathlib import Path

from sqlalchemy.engine import URL

from tests.conformance.client import Client, noise, patch_head, path_of
from tests.deployments import BUCKET
from tests.hostile.test_framing import resident
from tests.servers import ServerProcess
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, migrated

KIB, MIB = 1024, 1024 * 1024
BUDGET = 256 * MIB  # the default
STEP = 4 * KIB
BESIDE = 150 * MIB  # what a process takes that holds no upload


async def slowly(client: Client, data: bytes, step: int = STEP) -> str:
    """Send a step a second, 4 KiB if nothing else is said; whom a busy machine tells to come again does."""
    url, offset = await client.made(len(data)), 0
    while offset < len(data):
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), offset, len(data) - offset))
            for at in range(offset, len(data), step):
                await raw.send(data[at : at + step])
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


async def test_a_storage_that_stands_still_keeps_senders_waiting_and_fills_no_memory(
    mysql_server: URL, minio_server: S3Server, tmp_path: Path
) -> None:
    """Two hundred clients send while no object is taken, and a process with a budget of 64 MiB never holds more than that
    and what it needs itself, then or when all of them end at once; every byte is there.
    """
    data = noise(768 * KIB)
    with migrated(mysql_server) as url, S3Proxy(minio_server) as s3:
        settings = {**ProductionStack(url, s3.proxied, BUCKET).settings, "TUSFM_MEMORY_BUDGET": str(64 * MIB)}
        with ServerProcess(tmp_path, settings) as server:
            async with Client([server.url]) as client:
                s3.fail("PutObject", "stall", many=10**9)
                crowd = [asyncio.create_task(slowly(client, data, len(data))) for _ in range(200)]
                await asyncio.sleep(3)
                s3.clear()
                await s3.let_go()
                urls = await asyncio.gather(*crowd)
                assert peak(server) < 64 * MIB + BESIDE, f"{peak(server) // MIB} MiB"
                for one in urls[::20]:
                    assert await client.content(one) == data


def peak(server: ServerProcess) -> int:
    """Bytes of memory that a server had when it had most."""
    assert server.process is not None
    told = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert told is not None
    return int(told[1]) * KIB


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
