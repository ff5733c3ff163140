"""Everything that a deployment stands on, its own, each behind a proxy: servers, a worker, MinIO, MariaDB, RabbitMQ."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from tests.deployments import BUCKET
from tests.servers import ServerProcess, WorkerProcess
from tests.services.mysql import MysqlProcess
from tests.services.mysql_proxy import MysqlProxy
from tests.services.rabbitmq import RabbitProcess
from tests.services.s3 import MinioProcess
from tests.services.s3_proxy import S3Proxy
from tests.services.toxiproxy import Proxy, toxiproxy
from tests.stacks import ProductionStack, apart, execute, mysql_settings
from tusfm import wiring
from tusfm.settings import load

DATABASE = "chaos"


@dataclass
class Plant:
    """What runs. Settings are the product's defaults, but for addresses."""

    minio: MinioProcess
    mysql: MysqlProcess
    rabbit: RabbitProcess
    s3: S3Proxy
    commits: MysqlProxy
    to_mysql: Proxy
    to_rabbit: Proxy
    stack: ProductionStack
    servers: list[ServerProcess]
    worker: WorkerProcess
    frozen: set[int] = field(default_factory=set)
    """Ids of processes that stand still."""

    @property
    def database(self) -> URL:
        """The database, past the proxies."""
        return self.mysql.url.set(database=DATABASE)

    def heal(self) -> None:
        """Take every fault away that is no dead or frozen process."""
        self.s3.clear()
        self.s3.slow = 0.0
        self.commits.clear()
        self.to_mysql.mend()
        self.to_rabbit.mend()

    def said(self) -> str:
        """What the servers and the worker have written."""
        return "".join(process.log() for process in (*self.servers, self.worker))


@contextmanager
def plant(folder: Path, count: int = 3) -> Iterator[Plant]:
    """Start everything, and end it."""
    with ExitStack() as ending:
        minio, mysql, rabbit = MinioProcess(folder), MysqlProcess(folder), RabbitProcess(folder)
        mysql.install()
        for service in (minio, mysql, rabbit):
            service.start()
        ending.callback(minio.kill)
        ending.callback(mysql.kill)
        ending.callback(rabbit.close)
        toxic = ending.enter_context(toxiproxy(folder))
        assert toxic is not None
        s3 = ending.enter_context(S3Proxy(minio.server))
        commits = ending.enter_context(MysqlProxy(mysql.url))
        to_mysql = toxic.before("127.0.0.1", commits.port)
        to_rabbit = toxic.before("127.0.0.1", rabbit.rabbit.address.port)
        stack = _stack(mysql.url, s3, rabbit, {"MYSQL_PORT": str(to_mysql.port), "RABBITMQ_PORT": str(to_rabbit.port)})
        servers = [ServerProcess(folder / f"server{number}", stack.settings) for number in range(count)]
        worker = WorkerProcess(folder / "worker", stack.settings)
        for process in (*servers, worker):
            process.launch()
            ending.callback(process.kill)
        for server in servers:
            server.wait()
        yield Plant(minio, mysql, rabbit, s3, commits, to_mysql, to_rabbit, stack, servers, worker)


def _stack(mysql: URL, s3: S3Proxy, rabbit: RabbitProcess, ports: dict[str, str]) -> ProductionStack:
    """Make the database, and say where everything is."""
    apart(lambda: execute(mysql, f"CREATE DATABASE {DATABASE}"))
    url = mysql.set(database=DATABASE)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(wiring.migrate, load(mysql_settings(url))).result()
    stack = ProductionStack(url, s3.proxied, BUCKET)
    stack.settings |= {**rabbit.rabbit.settings("chaos"), **ports}
    return stack
