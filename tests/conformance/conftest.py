"""Servers for the suite, on each stack."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.client import Client
from tests.deployments import EMBEDDED, IN_TURN, PROCESSES, PRODUCTION, STACKS, Deployment, stack_of

ONE_STACK = pytest.mark.parametrize("arrangement", [EMBEDDED], indirect=True)
"""For what the request and the settings alone decide, where other settings mean other servers."""
EACH_STACK = pytest.mark.parametrize("arrangement", STACKS, indirect=True)
"""For what single requests do, whichever process answers, where other settings mean other servers."""


@pytest.fixture(scope="session", params=[EMBEDDED, PRODUCTION, IN_TURN])
def arrangement(request: pytest.FixtureRequest) -> str:
    """Choose the stack; with several processes each request goes to another one."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(
    arrangement: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Run one deployment for all tests of this worker."""
    folder = tmp_path_factory.mktemp("server")
    with stack_of(arrangement, request, folder) as stack:
        deployment = Deployment(folder, stack, PROCESSES[arrangement])
        deployment.start()
        yield deployment
        deployment.stop()


@pytest.fixture
async def client(server: Deployment) -> AsyncIterator[Client]:
    """Speak to the shared deployment."""
    async with Client(server.urls) as one:
        yield one
