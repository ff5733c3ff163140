"""What becomes of requests when what stands behind the server is away, refuses or is full (P10, H7)."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy.engine import URL

from tests.conformance.client import Client
from tests.deployments import Deployment
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.services.toxiproxy import Proxy, Toxiproxy
from tests.stacks import EmbeddedStack, ProductionStack, apart, database, execute, migrated
from tusfm.adapters.storage_s3 import S3Place, S3Storage

MIB = 1024 * 1024
BUCKET = "tusfm-bad-days"
FULL = (
    "CREATE TRIGGER full BEFORE UPDATE ON uploads FOR EACH ROW "
    "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'"
)
PASSWORD = "a password that nobody may see"


async def test_a_directory_that_is_away(tmp_path: Path) -> None:
    """P10: a directory that is not there is 503 with Retry-After; afterwards the offset is true and the upload goes on."""
    stack = EmbeddedStack(tmp_path / "data")
    deployment = Deployment(tmp_path, stack)
    deployment.start()
    async with Client(deployment.urls) as client:
        url = await client.made(2_000_000)
        await client.patch(url, 0, b"a" * 1_000_000)
        kept = await client.whole(b"kept")
        for top, ask in (("work", client.patch(url, 1_000_000, b"b" * 500_000)), ("files", client.ask("GET", kept))):
            hidden = (stack.data / top).rename(stack.data / "hidden")
            answer = await ask
            hidden.rename(stack.data / top)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert await client.content(kept) == b"kept"
        assert (await client.patch(url, (await client.head(url)).offset, b"b" * 1_000_000)).status == 204
        assert await client.content(url) == b"a" * 1_000_000 + b"b" * 1_000_000
    deployment.stop()


@dataclass
class Day:
    """A deployment whose storage and database are reached through proxies."""

    deployment: Deployment
    client: Client
    s3: S3Proxy
    mysql: Proxy
    database: URL
    server: S3Server

    def log(self) -> str:
        """What the operator reads; it holds no secret and no traceback."""
        said = self.deployment.processes[0].log()
        assert "Traceback" not in said
        assert PASSWORD not in said
        assert self.server.secret not in said
        return said

    async def refused(self, url: str, offset: int, data: bytes) -> None:
        """A PATCH is 503 with Retry-After and a sentence that gives nothing away."""
        answer = await self.client.patch(url, offset, data)
        assert (answer.status, answer.headers.get("Retry-After")) == (503, "5"), answer
        assert answer.body == b"Something that the server needs is away; please try again in a moment.\n"

    async def goes_on(self, url: str, data: bytes) -> None:
        """The upload is finished from its offset, and has the right bytes."""
        offset = (await self.client.head(url)).offset
        assert (await self.client.patch(url, offset, data[offset:])).status == 204
        assert await self.client.content(url) == data

    def sql(self, statement: str) -> None:
        """Do something to the database, as root, behind the proxy."""
        apart(lambda: execute(self.database, statement))


@contextmanager
def plain_user(url: URL) -> Iterator[dict[str, str]]:
    """Make a user with no more rights than an operator grants."""
    name = f"user_{secrets.token_hex(4)}"
    apart(lambda: execute(url, f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"))
    apart(lambda: execute(url, f"GRANT ALL ON {url.database}.* TO '{name}'@'127.0.0.1'"))
    yield {"MYSQL_USER": name, "MYSQL_PASSWORD": PASSWORD}
    apart(lambda: execute(url, f"DROP USER '{name}'@'127.0.0.1'"))


@asynccontextmanager
async def day(
    folder: Path,
    mysql: URL,
    minio: S3Server,
    toxiproxy: Toxiproxy,
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    up: bool = True,
) -> AsyncIterator[Day]:
    """Start a server; *up* False: its database is away."""
    assert mysql.host is not None
    assert mysql.port is not None
    proxy = toxiproxy.before(mysql.host, mysql.port, enabled=up)
    with migrated(mysql) as url, S3Proxy(minio) as s3, plain_user(url) as user:
        stack = ProductionStack(url, s3.proxied, BUCKET)
        stack.settings |= {"MYSQL_PORT": str(proxy.port), **user, **settings}
        deployment = Deployment(folder, stack)
        deployment.processes[0].start(wait=up)
        try:
            async with Client(deployment.urls) as client:
                one = Day(deployment, client, s3, proxy, url, minio)
                yield one
                one.log()
        finally:
            deployment.stop()


@pytest.fixture
async def today(tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy) -> AsyncIterator[Day]:
    """Start a server."""
    async with day(tmp_path, mysql_server, minio_server, toxiproxy) as one:
        yield one


class TestStorage:
    """S3 on a bad day. HEAD asks nothing of it, and creation without a body neither."""

    @pytest.mark.parametrize("how", ["error", "slow down", "cut"])
    async def test_what_passes_is_hidden(self, today: Day, how: str) -> None:
        """P10: a storage that fails for a second costs the client nothing but the second."""
        data = b"x" * 9 * MIB
        url = await today.client.made(len(data))
        for operation in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject", "PutObject"):
            today.s3.fail(operation, how, many=3)
        assert (await today.client.patch(url, 0, data[: 6 * MIB])).status == 204
        await today.goes_on(url, data)
        assert all(fault.seen > fault.many for fault in today.s3.faults if fault.operation != "PutObject")

    async def test_no_permission(self, today: Day) -> None:
        """P10: storage that forbids writing is 503, the log says what it needs, and when it allows again all goes on."""
        data = b"x" * 3 * MIB
        url = await today.client.made(len(data))
        assert (await today.client.patch(url, 0, data[:MIB])).status == 204
        today.s3.fail("PutObject", "forbidden", many=10_000)
        await today.refused(url, MIB, data[MIB:])
        assert (await today.client.head(url)).offset == MIB
        assert "need the right to read, write, list and delete in the bucket (AccessDenied)" in today.log()
        today.s3.clear()
        await today.goes_on(url, data)

    async def test_no_room(self, today: Day) -> None:
        """P10: a full storage is 507; what was acknowledged is kept."""
        data = b"x" * 3 * MIB
        url = await today.client.made(len(data))
        assert (await today.client.patch(url, 0, data[:MIB])).status == 204
        today.s3.fail("PutObject", "full", many=10_000)
        answer = await today.client.patch(url, MIB, data[MIB:])
        assert (answer.status, answer.headers["Retry-After"]) == (507, "5")
        today.s3.clear()
        await today.goes_on(url, data)

    async def test_no_answer(self, today: Day) -> None:
        """P10: a storage that says nothing is 503 when its time is over; HEAD answers at once all the while."""
        data = b"x" * 3 * MIB
        url = await today.client.made(len(data))
        stalled = today.s3.fail("", "stall", many=10_000)
        patching = asyncio.create_task(today.refused(url, 0, data))
        await asyncio.sleep(1)
        assert (await today.client.head(url)).offset == 0
        assert (await today.client.create(5)).status == 201
        assert not patching.done()
        await patching
        assert "the storage does not answer" in today.log()
        today.s3.faults.remove(stalled)
        await today.goes_on(url, data)

    async def test_wrong_keys(self, tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy) -> None:
        """P10: wrong keys are 503, and the log says which setting to look at, without its value."""
        wrong = {"MINIO_SECRET_KEY": PASSWORD}
        async with day(tmp_path, mysql_server, minio_server, toxiproxy, wrong) as one:
            url = await one.client.made(5)
            await one.refused(url, 0, b"hello")
            assert (await one.client.head(url)).offset == 0
            assert "look at MINIO_SECRET_KEY or MINIO_ROOT_PASSWORD" in one.log()

    async def test_a_bucket_that_is_gone(
        self, tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy
    ) -> None:
        """P10: nothing is given up while the bucket is not there; a finished file is 503 and not 404."""
        own = f"tusfm-{secrets.token_hex(6)}"
        more = {"TUSFM_S3_BUCKET": own}
        async with day(tmp_path, mysql_server, minio_server, toxiproxy, more) as one:
            url, file = await one.client.made(2 * MIB), await one.client.whole(b"hello")
            await removed(minio_server, own)
            await one.refused(url, 0, b"x" * MIB)
            assert (await one.client.head(url)).offset == 0
            answer = await one.client.ask("GET", file)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "make it, or look at MINIO_PRIVATE_BUCKET" in one.log()


async def removed(server: S3Server, bucket: str) -> None:
    """Remove a bucket with all that is in it."""
    storage = S3Storage(server.address, S3Place(bucket=bucket, prefix=""))
    await storage.start()
    await storage.delete([key async for key in storage.keys("")])
    await storage._requests.call("delete_bucket", {"Bucket": bucket})
    await storage.close()


class TestDatabase:
    """MySQL on a bad day: HEAD is 423, everything else 503, and all goes on by itself."""

    async def away(self, one: Day, url: str) -> None:
        """What a client sees."""
        answer = await one.client.head(url)
        assert (answer.status, answer.headers.get("Retry-After")) == (423, "5")
        await one.refused(url, 0, b"x")
        assert (await one.client.create(5)).status == 503

    @pytest.mark.parametrize("how", ["cut", "stall"])
    async def test_it_is_away(self, today: Day, how: str) -> None:
        """H7, P10: connections that are cut, or say nothing, for however long."""
        url = await today.client.made(3 * MIB)
        (today.mysql.cut if how == "cut" else today.mysql.stall)()
        await self.away(today, url)
        today.mysql.mend()
        await today.goes_on(url, b"x" * 3 * MIB)

    async def test_it_is_not_there_at_the_start(
        self, tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy
    ) -> None:
        """H7, P10: the server starts without it, and serves when it comes."""
        async with day(tmp_path, mysql_server, minio_server, toxiproxy, up=False) as one:
            await listening(one.client)
            await self.away(one, "/files/" + "0" * 32)
            assert "look at MYSQL_HOST and MYSQL_PORT, and whether it runs" in one.log()
            one.mysql.mend()
            await one.goes_on(await one.client.made(5), b"hello")

    @pytest.mark.parametrize(
        ("breaks", "mends", "said"),
        [
            (FULL, "DROP TRIGGER full", "give it room"),
            ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", "the database is read-only"),
            ("ALTER TABLE extents RENAME TO later", "ALTER TABLE later RENAME TO extents", "run 'tusfm migrate'"),
        ],
        ids=["full", "read-only", "half migrated"],
    )
    async def test_it_cannot_be_written(self, today: Day, breaks: str, mends: str, said: str) -> None:
        """P10: a database that is full, read-only or half migrated is 503; reading goes on, and what was there stays."""
        data = b"x" * 3 * MIB
        url = await today.client.made(len(data))
        assert (await today.client.patch(url, 0, data[:MIB])).status == 204
        today.sql(breaks)
        try:
            await today.refused(url, MIB, data[MIB : 2 * MIB])
            assert (await today.client.head(url)).offset == MIB
        finally:
            today.sql(mends)
        assert said in today.log()
        await today.goes_on(url, data)

    async def test_wrong_password(
        self, tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy
    ) -> None:
        """H7: a password that is refused is told of in the log, and not shown."""
        wrong = {"MYSQL_PASSWORD": PASSWORD + "x"}
        async with day(tmp_path, mysql_server, minio_server, toxiproxy, wrong, up=False) as one:
            one.mysql.mend()
            await listening(one.client)
            await self.away(one, "/files/" + "0" * 32)
            assert "look at MYSQL_USER, MYSQL_PASSWORD" in one.log()

    async def test_it_is_not_migrated(self, tmp_path: Path, mysql_server: URL, minio_server: S3Server) -> None:
        """H7: the server runs, is not ready, and says what to run."""
        with database(mysql_server) as url:
            deployment = Deployment(tmp_path, ProductionStack(url, minio_server, BUCKET))
            deployment.processes[0].start(wait=False)
            async with Client(deployment.urls) as client:
                await listening(client)
                assert (await client.head("/files/" + "0" * 32)).status == 423
                ready = await client.ask("GET", "/readyz")
                assert (ready.status, ready.body) == (503, b"The database is not migrated; run 'tusfm migrate'.\n")
            assert "run 'tusfm migrate'" in deployment.processes[0].log()
            deployment.stop()


async def listening(client: Client) -> None:
    """Wait until the server answers at all."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                await client.ask("GET", "/healthz")
                return
            await asyncio.sleep(0.05)
