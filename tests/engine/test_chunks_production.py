"""Files in chunks on MySQL and MinIO, with a proxy between that counts and fails."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.deployments import BUCKET
from tests.engine.chunked import DONE, becomes, completed, content, freed, send, sent
from tests.engine.engines import running
from tests.servers import WorkerProcess
from tests.services.rabbitmq import Rabbit
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, apart, execute, migrated
from tusfm.adapters.storage_s3 import S3Storage
from tusfm.domain.files import FileStatus
from tusfm.wiring import Engine

MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("attempts_follow_soon")

CREDENTIALS = {
    "user id": "84 793 +&=%/?#",
    "имя": "значение 日本",
    "A\u00e9": "",
    "": "empty name",
    "acl": "public-read",
    "tagging": "",
    "versionId": "null",
    "uploadId": "x",
    "partNumber": "9",
    "response-content-type": "text/html",
    "X-Amz-Expires": "1",
    "x-amz-signature": "0",
    "host": "elsewhere",
    "torrent": "",
    "list-type": "2",
}


@dataclass
class Plant:
    """An engine, and what it stands on."""

    engine: Engine
    proxy: S3Proxy
    database: URL
    stack: ProductionStack


@pytest.fixture
async def plant(mysql_server: URL, minio_server: S3Server) -> AsyncIterator[Plant]:
    """Run an engine that finishes files itself, with links to MinIO past the proxy."""
    with migrated(mysql_server) as url, S3Proxy(minio_server) as proxy:
        stack = ProductionStack(url, proxy.proxied, BUCKET)
        stack.settings["MINIO_URL"] = minio_server.url.replace("127.0.0.1", "localhost")
        async with running(stack.settings) as engine:
            assert isinstance(engine.storage, S3Storage)
            assert engine.storage._making is not None
            await engine.storage._making
            yield Plant(engine, proxy, url, stack)


async def opened(url: str) -> tuple[int, bytes, str]:
    """Open a link as a browser does."""

    def get() -> tuple[int, bytes, str]:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers["Content-Type"]

    return await asyncio.to_thread(get)


async def test_composing_moves_no_bytes_through_us(plant: Plant) -> None:
    """Chunks of 5 MiB and more are copied inside MinIO; each was put once, and only what is shorter is read."""
    chunks = [bytes([index]) * size for index, size in enumerate((5 * MIB, 5 * MIB, 6 * MIB, 10 * MIB))]
    plant.proxy.clear()
    upload_id = await sent(plant.engine, chunks)
    assert plant.proxy.counts == {"PutObject": 4}
    plant.proxy.clear()
    file = await becomes(plant.engine, await completed(plant.engine, upload_id, 4), *DONE)
    await freed(plant.engine)
    done = {
        "CreateMultipartUpload": 1,
        "UploadPartCopy": 4,
        "CompleteMultipartUpload": 1,
        "HeadObject": 1,
        "DeleteObjects": 1,
    }
    assert {name: count for name, count in plant.proxy.counts.items() if name != "ListObjects"} == done
    assert plant.proxy.up + plant.proxy.down < 64 * 1024
    assert await content(plant.engine, file) == b"".join(chunks)


async def test_links_open(plant: Plant) -> None:
    """Where browsers see MinIO, with the file's type: a public file as it is, a private one with its whole credential."""
    upload_id = await sent(plant.engine, [b"an", b"other"])
    public = await becomes(plant.engine, await completed(plant.engine, upload_id, 2), *DONE)
    url = await plant.engine.chunks.link(public, "http://not.this")
    assert url == f"{plant.stack.settings['MINIO_URL']}/{BUCKET}-public/{upload_id}.bin"
    assert await opened(url) == (200, b"another", "image/png")
    upload_id = await sent(plant.engine, [b"secret"])
    file = await completed(plant.engine, upload_id, 1, credential=CREDENTIALS, content_type="video/x-odd")
    private = await becomes(plant.engine, file, *DONE)
    url = await plant.engine.chunks.link(private, "http://not.this")
    assert await opened(url) == (200, b"secret", "video/x-odd")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        await opened(url.partition("?")[0])


@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"]
)
async def test_an_answer_that_is_lost(plant: Plant, operation: str) -> None:
    """MinIO has done what it was asked, and nobody hears: the file is made all the same, once, and nothing is left."""
    plant.proxy.fail(operation, "cut", after=True)
    if operation == "AbortMultipartUpload":
        plant.proxy.fail("CompleteMultipartUpload", "forbidden")  # the next attempt ends this one
    upload_id = await sent(plant.engine, [b"one", b"two"])
    done = await becomes(plant.engine, await completed(plant.engine, upload_id, 2), *DONE)
    assert (done.status, await content(plant.engine, done)) == (FileStatus.SUCCESS, b"onetwo")
    await plant.engine.sweep.sweep()
    assert [one async for one in plant.engine.storage.multiparts("public/") if upload_id in one[0]] == []  # type: ignore[attr-defined]
    await freed(plant.engine)


async def test_minio_is_away_while_a_file_is_made(plant: Plant) -> None:
    """It stays STARTED, and is made when MinIO is back."""
    upload_id = await sent(plant.engine, [b"one"])
    plant.proxy.fail("", "forbidden", many=10**6)
    file = await completed(plant.engine, upload_id, 1)
    async with asyncio.timeout(60):
        while (await plant.engine.chunks.file(file.id)).error is None:
            await asyncio.sleep(0.05)
    assert (await plant.engine.chunks.file(file.id)).status is FileStatus.STARTED
    plant.proxy.clear()
    done = await becomes(plant.engine, file, *DONE)
    assert (done.status, await content(plant.engine, done)) == (FileStatus.SUCCESS, b"one")


async def called(proxy: S3Proxy, operation: str) -> None:
    """Wait for a call to the storage."""
    async with asyncio.timeout(60):
        while proxy.counts[operation] == 0:
            await asyncio.sleep(0.02)


async def test_a_worker_that_is_killed_while_it_composes(
    mysql_server: URL, minio_server: S3Server, rabbitmq_server: Rabbit, tmp_path: Path
) -> None:
    """SIGKILL before its Complete is answered, and a chunk replaced before another goes on: the file has the new one."""
    with migrated(mysql_server) as url, S3Proxy(minio_server) as proxy:
        stack = ProductionStack(url, proxy.proxied, BUCKET)
        stack.settings |= rabbitmq_server.settings(f"test-{url.database}".replace("_", "-"))
        async with running(stack.settings) as engine:
            for task in engine._tasks:  # else it would finish the file itself
                task.cancel()
            with WorkerProcess(tmp_path, stack.settings) as worker:
                proxy.fail("CompleteMultipartUpload", "stall")
                upload_id = await sent(engine, [b"x" * (6 * MIB), b"two"])
                file = await completed(engine, upload_id, 2)
                await engine.dispatcher.dispatch()
                await called(proxy, "CompleteMultipartUpload")
                worker.kill()
                assert (await engine.chunks.file(file.id)).status is FileStatus.STARTED
                await send(engine, upload_id, 1, b"TWO")
                await asyncio.to_thread(apart, lambda: execute(url, "UPDATE uploads SET lease_until = 0"))
                await engine.finalizer.finalize(upload_id)
                done = await engine.chunks.file(file.id)
                assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"x" * (6 * MIB) + b"TWO")
                await engine.sweep.sweep()
                assert [one async for one in engine.storage.multiparts("public/") if upload_id in one[0]] == []  # type: ignore[attr-defined]
                await freed(engine)
