"""A MinIO that aborts multipart uploads soon, even those in use, and uploads that take longer than that."""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.engine import URL

from tests.conformance.client import Client
from tests.conftest import missing
from tests.deployments import BUCKET
from tests.servers import ServerProcess
from tests.services.s3 import MinioProcess, binary
from tests.stacks import ProductionStack, migrated

SECONDS = int(os.environ.get("TUSFM_TEST_SECONDS", "45"))
SPEED = 1_500_000  # bytes a second
EAGER = {"MINIO_API_STALE_UPLOADS_EXPIRY": "20s", "MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL": "3s"}


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    """Send at a steady pace."""
    for start in range(0, len(data), SPEED // 5):
        yield data[start : start + SPEED // 5]
        await asyncio.sleep(0.2)


async def in_one_patch(client: Client, data: bytes) -> str:
    """Send everything in one slow body."""
    url = await client.made(len(data))
    assert (await client.patch(url, 0, slowly(data))).status == 204
    return url


async def with_pauses(client: Client, data: bytes) -> str:
    """Send ten megabytes, and nothing for longer than a multipart upload lives; again and again."""
    url = await client.made(len(data))
    for start in range(0, len(data), 10_000_000):
        assert (await client.patch(url, start, data[start : start + 10_000_000])).status == 204
        await asyncio.sleep(23)
    return url


async def steady_and_paused(server: ServerProcess) -> None:
    """Upload without a pause and with them, and compare."""
    steady = random.Random(1).randbytes(SPEED * SECONDS)
    paused = random.Random(2).randbytes(10_000_000 * (SECONDS // 23) + 1000)
    async with Client([server.url]) as client:
        urls = await asyncio.gather(in_one_patch(client, steady), with_pauses(client, paused))
        for url, data in zip(urls, (steady, paused), strict=True):
            assert hashlib.sha256(await client.content(url)).digest() == hashlib.sha256(data).digest()


async def test_uploads_that_outlive_every_multipart_upload(mysql_server: URL, tmp_path: Path) -> None:
    """With MinIO's expiry at 20 seconds, and ours at 10, what takes longer arrives whole, without a pause and with them."""
    if binary("minio") is None:
        missing("MinIO")
    minio = MinioProcess(tmp_path, EAGER)
    minio.start()
    try:
        with migrated(mysql_server) as database:
            settings = ProductionStack(database, minio.server, BUCKET).settings
            settings |= {"TUSFM_S3_MULTIPART_AGE": "10", "TUSFM_SWEEP_EVERY": "2"}
            with ServerProcess(tmp_path / "server", settings) as server:
                await steady_and_paused(server)
    finally:
        minio.kill()
