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
BUDGET = 64 * MIB
BESIDE = 150 * MIB  # what a process takes that holds no upload


async def test_many_slow_clients_and_a_fast_one(mysql_server: URL, minio_server: S3Server, tmp_path: Path) -> None:
    """Two hundred clients send three times the budget, bit by bit, and a fast one sends beside them: memory stays under the
    budget and what a process needs, nobody hears an error, and every byte is there.
    """
    piece = noise(32 * KIB)
    with migrated(mysql_server) as url:
        settings = {**ProductionStack(url, minio_server, BUCKET).settings, "TUSFM_MEMORY_BUDGET": str(BUDGET)}
        with ServerProcess(tmp_path, settings) as server:
            async with Client([server.url]) as client:

                async def slow() -> None:
                    path = path_of(await client.made(MIB))
                    async with client.raw() as raw:
                        await raw.send(patch_head(path, 0, MIB))
                        for _ in range(32):
                            await raw.send(piece)
                            await asyncio.sleep(0.2)
                        assert (await raw.answer(60)).offset == MIB
                    assert await client.content(path) == piece * 32

                async def fast() -> None:
                    data = noise(64 * MIB)
                    path = await client.made(len(data))
                    assert (await client.patch(path, 0, data)).status == 204
                    assert await client.content(path) == data

                crowd = [asyncio.create_task(slow()) for _ in range(200)]
                most = 0
                quick = asyncio.create_task(fast())
                while not all(task.done() for task in crowd):
                    most = max(most, resident(server))
                    await asyncio.sleep(0.2)
                await asyncio.gather(*crowd, quick)
                assert most < BUDGET + BESIDE, f"{most // MIB} MiB"


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
