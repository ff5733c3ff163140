"""What requests cost on S3 and MySQL: requests counted by a proxy before MinIO, transactions where they begin."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.deployments import BUCKET
from tests.engine.bodies import PlayedBody
from tests.engine.engines import running
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, migrated
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.metadata_watched import WatchedDatabase
from tusfm.adapters.storage_s3 import S3Storage
from tusfm.domain.upload import Role, State
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.ports.watching import Step, Unwatched
from tusfm.wiring import Engine

KIB = 1024
MIB = 1024 * KIB

pytestmark = pytest.mark.usefixtures("small_bodies_stay_small")


@dataclass
class Costs(Unwatched):
    """An engine, and what it has done since the last look."""

    engine: Engine
    other: Engine
    proxy: S3Proxy
    transactions: int = 0
    queries: int = 0

    def step(self, step: Step) -> AbstractContextManager[object]:
        """Count a transaction, or what is only read."""
        self.transactions += step.name == "write"
        self.queries += step.name == "read"
        return nullcontext()

    def clear(self) -> None:
        """Count from nothing."""
        self.proxy.clear()
        self.transactions = self.queries = 0

    @property
    def requests(self) -> dict[str, int]:
        """Requests by operation."""
        return dict(self.proxy.counts)

    async def patch(self, upload_id: str, offset: int, size: int, step: int = 256 * KIB) -> None:
        """Send bytes."""
        body = PlayedBody([b"\0" * step] * (size // step) + [b"\0" * (size % step)] * (size % step > 0), size=size)
        await self.engine.uploads.append(Append(id=upload_id, offset=offset, body=body))


@pytest.fixture
async def costs(mysql_server: URL, minio_server: S3Server, tmp_path: Path) -> AsyncIterator[Costs]:
    """Run two engines on one database and bucket, with nothing else going on."""
    with migrated(mysql_server) as url, S3Proxy(minio_server) as proxy:
        settings = ProductionStack(url, proxy.proxied, BUCKET).settings
        async with running(settings) as engine, running(settings) as other:
            for one in (engine, other):
                for task in one._tasks:
                    task.cancel()
                await asyncio.gather(*one._tasks, return_exceptions=True)
                assert isinstance(one.storage, S3Storage)
                assert one.storage._making is not None
                await one.storage._making
            counted = Costs(engine, other, proxy)
            assert isinstance(engine.metadata, SqlMetadata)
            engine.metadata.db = WatchedDatabase(engine.metadata.db, counted)
            counted.clear()
            yield counted


async def test_a_creation_without_a_body(costs: Costs) -> None:
    """Nothing is asked of storage; one transaction."""
    await costs.engine.uploads.create(Creation(length=5))
    assert (costs.requests, costs.transactions, costs.queries) == ({}, 1, 0)


async def test_a_small_file_with_its_creation(costs: Costs) -> None:
    """One PutObject and two transactions."""
    await costs.engine.uploads.create(Creation(length=5 * KIB, body=PlayedBody([b"x" * KIB] * 5, size=5 * KIB)))
    assert (costs.requests, costs.transactions) == ({"PutObject": 1}, 2)


async def test_a_small_file_by_post_and_patch(costs: Costs) -> None:
    """One PutObject and two transactions."""
    made = await costs.engine.uploads.create(Creation(length=3 * MIB))
    await costs.patch(made.id, 0, 3 * MIB)
    assert (costs.requests, costs.transactions) == ({"PutObject": 1}, 2)


async def test_a_large_file_in_one_patch(costs: Costs) -> None:
    """A request a part, Create, Complete and one HeadObject, and nothing else; about a transaction a part, and four."""
    size = int(os.environ.get("TUSFM_TEST_BYTES", 512 * MIB))
    count = size // (8 * MIB)
    made = await costs.engine.uploads.create(Creation(length=size))
    costs.clear()
    await costs.patch(made.id, 0, size, MIB)
    await costs.engine.finalizer.finalize(made.id)
    parts = {"UploadPart": count, "CreateMultipartUpload": 1, "CompleteMultipartUpload": 1, "HeadObject": 1}
    assert costs.requests == parts
    assert costs.transactions <= 1.5 * count + 4
    assert costs.proxy.up <= 1.01 * size
    assert (await costs.engine.uploads.find(made.id)).state is State.AVAILABLE


@pytest.mark.parametrize(("step", "count", "calls", "up"), [(MIB, 256, 1.3, 2.0), (64 * KIB, 640, 1.2, 2.05)])
async def test_many_small_patches(costs: Costs, step: int, count: int, calls: float, up: float) -> None:
    """Each byte is written at most twice and none is read back; no listing; about a request and 3 transactions a PATCH."""
    made = await costs.engine.uploads.create(Creation(length=count * step))
    for number in range(count):
        await costs.patch(made.id, number * step, step)
    assert costs.proxy.up <= up * count * step
    assert costs.proxy.down <= 0.1 * count * step
    assert sum(costs.requests.values()) <= calls * count
    assert not {name for name in costs.requests if name.startswith("List")}
    assert costs.transactions <= 3 * count


async def test_a_head_of_many_parts(costs: Costs) -> None:
    """One query, and nothing is asked of storage."""
    made = await costs.engine.uploads.create(Creation(length=100 * MIB))
    await costs.patch(made.id, 0, 65 * MIB)
    costs.clear()
    assert (await costs.engine.uploads.status(made.id)).offset == 65 * MIB
    assert (costs.requests, costs.transactions, costs.queries) == ({}, 0, 1)


async def test_a_head_while_another_process_writes(costs: Costs) -> None:
    """One UPDATE asks the writer, and a SELECT at most every 50 ms, for a second, looks whether it has heard."""
    made = await costs.other.uploads.create(Creation(length=100 * MIB))
    body = PlayedBody([b"x" * MIB] * 5, size=100 * MIB, end="silent")
    sending = asyncio.create_task(costs.other.uploads.append(Append(id=made.id, offset=0, body=body)))
    async with asyncio.timeout(60):
        while not (await costs.other.uploads.find(made.id)).writer:
            await asyncio.sleep(0.02)
    await costs.other.metadata.beat(costs.other.presence.process)
    costs.clear()
    await costs.engine.uploads.status(made.id)  # nobody listens: the other's background work stands still
    assert costs.transactions == 1
    assert costs.queries <= 22
    body.cut()
    await asyncio.wait([sending])


async def test_a_concatenation(costs: Costs) -> None:
    """Eight partials of 64 MiB: a copy each, Create, Complete and HeadObject; no byte comes through the server."""
    size = 64 * MIB
    partials = []
    for _ in range(8):
        made = await costs.engine.uploads.create(Creation(length=size, role=Role.PARTIAL))
        await costs.patch(made.id, 0, size, MIB)
        await costs.engine.finalizer.finalize(made.id)
        partials.append(made.id)
    costs.clear()
    final = await costs.engine.uploads.concatenate(Creation(length=None, role=Role.FINAL), partials)
    await costs.engine.finalizer.finalize(final.id)
    copies = {"UploadPartCopy": 8, "CreateMultipartUpload": 1, "CompleteMultipartUpload": 1, "HeadObject": 1}
    assert costs.requests == copies
    assert costs.proxy.up + costs.proxy.down < 64 * KIB
    assert (await costs.engine.uploads.find(final.id)).state is State.AVAILABLE


async def test_a_deletion(costs: Costs) -> None:
    """Abort, and one delete for all tails; at most two transactions."""
    made = await costs.engine.uploads.create(Creation(length=100 * MIB))
    await costs.patch(made.id, 0, 17 * MIB)
    for number in range(3):
        await costs.patch(made.id, 17 * MIB + number * KIB, KIB)
    costs.clear()
    await costs.engine.uploads.terminate(made.id)
    assert costs.requests == {"AbortMultipartUpload": 1, "DeleteObjects": 1}
    assert costs.transactions <= 2
