"""Services for all tests, and deployments of a test's own."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.engine import URL

from tests.deployments import PROCESSES, Deployment, Start, stack_of
from tests.services import mysql, rabbitmq, s3
from tests.services import toxiproxy as toxiproxies
from tests.services.rabbitmq import Rabbit
from tests.services.s3 import S3Server
from tests.services.toxiproxy import Toxiproxy
from tests.stacks import database

settings.register_profile("steady", deadline=None, derandomize=True)  # a machine that stands still is no counterexample
settings.load_profile("steady")


@pytest.fixture(autouse=True)
async def _nothing_stays_open() -> AsyncIterator[None]:
    """End what a test closed and its peer has not read: the collector of garbage would blame a test that comes later."""
    yield
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        if transport.is_closing() and transport.get_write_buffer_size():
            transport.abort()
    await asyncio.sleep(0)


def missing(what: str) -> None:
    """Skip for want of something; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """Find or start MariaDB."""
    with mysql.server(tmp_path_factory.mktemp("mysql")) as address:
        if address is None:
            missing("MariaDB")
        else:
            yield address


@pytest.fixture
def mysql_url(mysql_server: URL) -> Iterator[str]:
    """Make a database for one test, and drop it."""
    with database(mysql_server) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Find or start MinIO."""
    with s3.minio(tmp_path_factory.mktemp("minio")) as server:
        if server is None:
            missing("MinIO")
        else:
            yield server


@pytest.fixture(scope="session")
def versitygw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start versitygw."""
    with s3.versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        if server is None:
            missing("versitygw")
        else:
            yield server


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    """Start toxiproxy."""
    with toxiproxies.toxiproxy(tmp_path_factory.mktemp("toxiproxy")) as one:
        if one is None:
            missing("toxiproxy")
        else:
            yield one


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """Find or start RabbitMQ."""
    with rabbitmq.rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as one:
        if one is None:
            missing("RabbitMQ")
        else:
            yield one


@pytest.fixture
def fresh(arrangement: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start deployments with settings of their own, given by name, and arguments of `serve`, on the suite's stack."""
    running: list[Deployment] = []
    with ExitStack() as stacks:

        def start(*arguments: str, **settings: str) -> Deployment:
            folder = tmp_path / str(len(running))
            stack = stacks.enter_context(stack_of(arrangement, request, folder))
            deployment = Deployment(folder, stack, PROCESSES[arrangement], settings, arguments)
            running.append(deployment)
            deployment.start()
            return deployment

        yield start
        for deployment in running:
            deployment.stop()
