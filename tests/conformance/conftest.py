"""Servers for the suite: a shared one, and fresh ones for tests that need settings."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.client import Client
from tests.servers import ServerProcess

Fresh = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run one server for all tests of this worker."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    """Speak to the shared server."""
    async with Client(server.url) as one:
        yield one


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    """Start servers with settings of their own, given by name, and arguments of `serve`."""
    running: list[ServerProcess] = []

    def start(*arguments: str, **settings: str) -> ServerProcess:
        process = ServerProcess(tmp_path / str(len(running)), settings, arguments)
        running.append(process)
        process.start()
        return process

    yield start
    for process in running:
        process.__exit__()
