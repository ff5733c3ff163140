"""An identity provider's key set: fetched beside requests, changed while tokens of both keys are about, bounded, away."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.access.tokens import EC_KEY, ED_KEY, RSA_KEY, SECRET, in_set, token
from tests.servers import free_port
from tusfm.adapters import jwt_keys
from tusfm.adapters.access_jwt import JwtAuthenticator
from tusfm.adapters.jwt_keys import FetchedKeys
from tusfm.domain.errors import KeysUnavailable, Unauthenticated


class Provider:
    """Serves a key set, and counts how often it was asked."""

    def __init__(self) -> None:
        """Begin with one key."""
        self.keys: list[dict[str, Any]] = [in_set(RSA_KEY, "old")]
        self.answer: Callable[[], web.StreamResponse] | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.asked = 0

    async def serve(self, _: web.Request) -> web.StreamResponse:
        """Answer."""
        self.asked += 1
        await self.goes_on.wait()
        return self.answer() if self.answer else web.json_response({"keys": self.keys})


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    """Start a provider on a loopback port."""
    one = Provider()
    app = web.Application()
    app.router.add_get("/keys", one.serve)
    async with TestServer(app) as server:
        yield one, str(server.make_url("/keys"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every unknown key cause a fetch."""
    monkeypatch.setattr(jwt_keys, "AGAIN_SECONDS", 0.0)


@contextlib.contextmanager
def refused(kind: type[Exception] = Unauthenticated) -> Iterator[None]:
    """Expect that a token is refused."""
    with pytest.raises(kind):
        yield


async def test_keys_are_fetched_once(provider: tuple[Provider, str]) -> None:
    """Twenty requests at once wait for one fetch, and those after them for none."""
    served, url = provider
    one = JwtAuthenticator(FetchedKeys(url), None, None)
    good = token(RSA_KEY, "RS256", {"kid": "old"})
    await asyncio.gather(*(one.grant(good) for _ in range(20)))
    await one.grant(good)
    assert served.asked == 1


@pytest.mark.usefixtures("hasty")
async def test_a_new_key_is_found(provider: tuple[Provider, str]) -> None:
    """While keys change, tokens of the old and of the new one are good; the old one ends with the fetch that lacks it."""
    served, url = provider
    one = JwtAuthenticator(FetchedKeys(url), None, None)
    old, new = token(RSA_KEY, "RS256", {"kid": "old"}), token(EC_KEY, "ES256", {"kid": "new"})
    assert await one.grant(old)
    served.keys.append(in_set(EC_KEY, "new"))
    assert await one.grant(new)
    assert await one.grant(old)
    served.keys = [in_set(EC_KEY, "new"), in_set(ED_KEY, "newest")]
    assert await one.grant(token(ED_KEY, "EdDSA", {"kid": "newest"}))
    with refused():
        await one.grant(old)


async def test_tokens_of_unknown_keys_cannot_make_us_ask(provider: tuple[Provider, str]) -> None:
    """However many tokens name keys that nobody has, the provider is asked at most every ten seconds."""
    served, url = provider
    one = JwtAuthenticator(FetchedKeys(url), None, None)
    for number in range(50):
        with refused():
            await one.grant(token(EC_KEY, "ES256", {"kid": f"made up {number}"}))
    assert served.asked == 1


async def test_they_are_fetched_beside_requests(provider: tuple[Provider, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so often the set is fetched again, whether anybody asks or not."""
    served, url = provider
    monkeypatch.setattr(jwt_keys, "REFRESH_SECONDS", 0.01)
    work = asyncio.create_task(FetchedKeys(url).run())
    async with asyncio.timeout(60):
        while served.asked < 3:
            await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
async def test_a_provider_that_is_away(provider: tuple[Provider, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys that are there go on while the provider fails, but not for more than a day; without any it is 503."""
    served, url = provider
    keys = FetchedKeys(url)
    one = JwtAuthenticator(keys, None, None)
    good = token(RSA_KEY, "RS256", {"kid": "old"})
    assert await one.grant(good)
    served.answer = lambda: web.Response(status=500)
    with refused():
        await one.grant(token(EC_KEY, "ES256", {"kid": "new"}))
    assert await one.grant(good)
    monkeypatch.setattr(jwt_keys, "STALE_SECONDS", 0.0)
    with refused(KeysUnavailable):
        await one.grant(good)
    with refused(KeysUnavailable):
        await JwtAuthenticator(FetchedKeys(f"http://127.0.0.1:{free_port()}/"), None, None).grant(good)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.Response(status=404),
        lambda: web.Response(body=b" " * (jwt_keys.FETCH_BYTES + 1) + json.dumps({"keys": [in_set(RSA_KEY)]}).encode()),
        lambda: web.Response(body=b"[" * 100_000),
        lambda: web.Response(body=b"\xff\xfe"),
        lambda: web.json_response({"keys": [in_set(SECRET, "old")]}),
    ],
    ids=["a redirection", "404", "too large", "too deep", "no text", "a secret"],
)
async def test_answers_that_are_no_key_set(provider: tuple[Provider, str], answer: Callable[[], web.StreamResponse]) -> None:
    """A redirection is not followed, what is too large is not read, and what is no key set is none."""
    served, url = provider
    served.answer = answer
    with refused(KeysUnavailable):
        await JwtAuthenticator(FetchedKeys(url), None, None).grant(token(RSA_KEY, "RS256"))
    assert served.asked == 1


async def test_a_provider_that_does_not_answer(provider: tuple[Provider, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests whose keys are here do not wait for a fetch, and those that do wait for a bounded time."""
    served, url = provider
    monkeypatch.setattr(jwt_keys, "AGAIN_SECONDS", 0.0)
    one = JwtAuthenticator(FetchedKeys(url), None, None)
    good = token(RSA_KEY, "RS256", {"kid": "old"})
    assert await one.grant(good)
    served.goes_on.clear()
    unknown = token(EC_KEY, "ES256", {"kid": "new"})
    monkeypatch.setattr(jwt_keys, "FETCH_SECONDS", 0.2)
    with refused():
        await one.grant(unknown)
    monkeypatch.setattr(jwt_keys, "FETCH_SECONDS", 300.0)
    waiting = asyncio.create_task(one.grant(unknown))
    async with asyncio.timeout(60):
        while served.asked < 3:
            await asyncio.sleep(0.01)
        assert await one.grant(good)
    assert not waiting.done()
    served.goes_on.set()
    with refused():
        await waiting
