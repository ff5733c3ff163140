"""What the tests of faults share: server processes behind proxies that fail what they are told to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy.engine import URL

from tests.conformance.client import Client
from tests.deployments import BUCKET
from tests.servers import ServerProcess
from tests.services.mysql_proxy import MysqlProxy
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, apart, execute, migrated
from tusfm.adapters.storage_s3 import S3Place, S3Storage

T = TypeVar("T")

MIB = 1024 * 1024


@dataclass
class Site:
    """Servers on one bucket and one database: the first goes through both proxies, the second through that of S3 only."""

    stack: ProductionStack
    s3: S3Proxy
    mysql: MysqlProxy
    database: URL
    servers: Sequence[ServerProcess]

    @property
    def first(self) -> Client:
        """A client of the first server."""
        return Client([self.servers[0].url])

    @property
    def second(self) -> Client:
        """A client of the second server."""
        return Client([self.servers[1].url])

    @property
    def prefix(self) -> str:
        """What the keys of this deployment begin with."""
        return self.stack.settings["TUSFM_S3_PREFIX"]

    def sql(self, statement: str) -> None:
        """Change the database behind the servers' back."""
        self.stack.execute(statement)

    async def directly(self, work: Callable[[S3Storage], Awaitable[T]]) -> T:
        """Do something to the bucket, past the proxy, with whole keys."""
        storage = S3Storage(self.s3.server.address, S3Place(bucket=BUCKET, prefix=""))
        await storage.start()
        try:
            return await work(storage)
        finally:
            await storage.close()

    def stored(self, url: str) -> int:
        """Count the bytes of an upload's objects."""
        return sum(size for key, size in self.stack.objects().items() if f"/{url[-32:]}/" in key)

    async def parts(self, url: str) -> list[str]:
        """List an upload's multipart uploads."""

        async def listed(storage: S3Storage) -> list[str]:
            return [key async for key, _ in storage.multiparts(self.prefix) if url[-32:] in key]

        return await self.directly(listed)

    def row(self, url: str, column: str) -> str:
        """Look into an upload's row."""
        statement = f"SELECT {column} FROM uploads WHERE id = '{url[-32:]}'"
        return str(apart(lambda: execute(self.database, statement)))


@contextmanager
def sites(folder: Path, mysql: URL, minio: S3Server) -> Iterator[Site]:
    """Run two servers."""
    with migrated(mysql) as url, S3Proxy(minio) as s3, MysqlProxy(url) as proxy:
        stack = ProductionStack(url, s3.proxied, BUCKET)
        stack.settings["TUSFM_SWEEP_EVERY"] = "86400"  # requests are counted
        ports = [{"MYSQL_PORT": str(proxy.port)}, {}]
        servers = [ServerProcess(folder / str(number), {**stack.settings, **port}) for number, port in enumerate(ports)]
        for server in servers:
            server.start(wait=False)
        try:
            for server in servers:
                server.wait()
            yield Site(stack, s3, proxy, url, servers)
        finally:
            s3.clear()
            for server in servers:
                server.__exit__()


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory, mysql_server: URL, minio_server: S3Server) -> Iterator[Site]:
    """Run two servers for all tests that leave them as they were."""
    with sites(tmp_path_factory.mktemp("site"), mysql_server, minio_server) as one:
        yield one


@pytest.fixture
async def site(lasting: Site) -> AsyncIterator[Site]:
    """Give the two servers to a test, and see that it wrote no traceback."""
    yield lasting
    lasting.s3.clear()
    await lasting.s3.let_go()
    lasting.mysql.clear()
    for server in lasting.servers:
        assert "Traceback" not in server.log(), server.log()


@asynccontextmanager
async def both(site: Site) -> AsyncIterator[tuple[Client, Client]]:
    """Open a client of each server."""
    async with site.first as first, site.second as second:
        yield first, second
