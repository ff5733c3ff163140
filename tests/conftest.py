"""Services for all tests."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services import mysql


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
    name = f"test_{secrets.token_hex(8)}"
    _run(mysql_server, f"CREATE DATABASE {name}")
    yield mysql_server.set(database=name).render_as_string(hide_password=False)
    _run(mysql_server, f"DROP DATABASE {name}")


def _run(server: URL, statement: str) -> None:
    async def run() -> None:
        engine = create_async_engine(server)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    with ThreadPoolExecutor(1) as apart:  # a test's own loop may be running
        apart.submit(lambda: asyncio.run(run())).result()
