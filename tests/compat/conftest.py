"""Servers for the suite, on each stack."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.compat.client import Client
from tests.deployments import STACKS, Deployment, stack_of


@pytest.fixture(scope="session", params=STACKS)
def arrangement(request: pytest.FixtureRequest) -> str:
    """Choose the stack."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(
    arrangement: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Run one deployment for all tests of this worker."""
    folder = tmp_path_factory.mktemp("compat")
    with stack_of(arrangement, request, folder) as stack:
        deployment = Deployment(folder, stack)
        deployment.start()
        yield deployment
        deployment.stop()


@pytest.fixture
async def client(server: Deployment) -> AsyncIterator[Client]:
    """Speak to the shared deployment."""
    async with Client(server.urls[0]) as one:
        yield one
