"""Servers that ask who is there, on each stack and by each scheme."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.access.tokens import OTHER_SECRET, SECRET, token
from tests.conformance.client import Client
from tests.deployments import STACKS, stack_of
from tests.servers import ServerProcess
from tests.stacks import Stack, apart
from tusfm import wiring
from tusfm.adapters.access_keys import new_key
from tusfm.domain.access import Grant
from tusfm.settings import load

JWT, API_KEY = "jwt", "apikey"
BY_TOKEN = pytest.mark.parametrize("door", [JWT], indirect=True)
BY_KEY = pytest.mark.parametrize("door", [API_KEY], indirect=True)
NO_TOKEN = ""


@dataclass(frozen=True)
class Door:
    """Two servers on one stack that let people in by one scheme, and the credentials of whoever comes.

    *open_*: an unfinished upload's URL is enough there; *strict*: it is not, and the older API asks too.
    """

    scheme: str
    stack: Stack
    open_: ServerProcess
    strict: ServerProcess
    credentials: dict[str, str]

    def headers(self, who: str) -> dict[str, str]:
        """Return what somebody's requests bear."""
        credential = self.credentials[who]
        return {} if credential == NO_TOKEN else {"Authorization": f"Bearer {credential}"}


@pytest.fixture(scope="session", params=STACKS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Make a place for servers, on each stack."""
    with stack_of(request.param, request, tmp_path_factory.mktemp("place")) as stack:
        yield stack


@pytest.fixture(scope="session", params=[JWT, API_KEY])
def door(request: pytest.FixtureRequest, place: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Start them."""
    scheme = str(request.param)
    folder = tmp_path_factory.mktemp("door")
    settings = {**place.settings, "TUSFM_AUTH": scheme, "TUSFM_LOG_LEVEL": "debug"}
    if scheme == JWT:
        settings["TUSFM_JWT_KEY"] = SECRET
    with ExitStack() as running:
        one = running.enter_context(ServerProcess(folder / "open", settings))
        strict = {**settings, "TUSFM_BACKEND_CREATES": "0", "TUSFM_LEGACY_AUTH": "1"}
        other = running.enter_context(ServerProcess(folder / "strict", strict))
        yield Door(scheme, place, one, other, tokens() if scheme == JWT else keys(place))


def tokens() -> dict[str, str]:
    """Make tokens for all who come."""
    now = int(time.time())
    return {
        "owner": token(sub="bob", exp=now + 3600),
        "stranger": token(sub="eve", exp=now + 3600),
        "wrong": token(OTHER_SECRET, sub="bob", exp=now + 3600),
        "expired": token(sub="bob", exp=now - 3600),
        "nobody": NO_TOKEN,
    }


def keys(stack: Stack) -> dict[str, str]:
    """Make keys for all who come; one was revoked."""
    made = {who: new_key() for who in ("owner", "stranger", "expired")}

    async def insert() -> None:
        async with wiring.opened(load(stack.settings)) as engine:
            for who, key in made.items():
                await engine.metadata.add_key(key.id, key.digest, Grant(owner="eve" if who == "stranger" else "bob"), None)
            await engine.metadata.revoke_key(made["expired"].id)

    apart(insert)
    mixed = made["owner"].text.rpartition("_")[0] + "_" + made["stranger"].text.rpartition("_")[2]
    return {**{who: key.text for who, key in made.items()}, "wrong": mixed, "nobody": NO_TOKEN}


@pytest.fixture
async def open_client(door: Door) -> AsyncIterator[Client]:
    """Speak to the one."""
    async with Client([door.open_.url]) as one:
        yield one


@pytest.fixture
async def strict_client(door: Door) -> AsyncIterator[Client]:
    """Speak to the other."""
    async with Client([door.strict.url]) as one:
        yield one
