"""One server for all of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.client import Client
from tests.servers import ServerProcess


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that gives silent bodies two seconds; it has to be alive at the end."""
    with ServerProcess(tmp_path_factory.mktemp("hostile"), {"TUSFM_READ_TIMEOUT": "2"}) as server:
        yield server
        assert server.process is not None
        assert server.process.poll() is None


@pytest.fixture
def server(lasting: ServerProcess) -> Iterator[ServerProcess]:
    """Give the server to a test, and see that it wrote no traceback."""
    yield lasting
    assert "Traceback" not in lasting.log(), lasting.log()


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    """Speak to it."""
    async with Client([server.url]) as one:
        yield one
