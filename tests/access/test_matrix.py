"""Who may do what: each verb, by whoever comes, by each scheme, on each stack, over real HTTP."""

from collections.abc import Awaitable, Callable

import pytest

from tests.access.conftest import Door
from tests.conformance.client import Answer, Client, path_of

pytestmark = pytest.mark.xdist_group("access")

WHO = ("owner", "stranger", "wrong", "expired", "nobody")
ASKS = ("owner", "stranger")
"""Those whose credentials are good."""
OPEN = {
    "create": (201, 201, 401, 401, 401),
    "create with bytes": (201, 201, 401, 401, 401),
    "concatenate bob's partial": (201, 404, 401, 401, 401),
    "ask for the offset": (200, 200, 200, 200, 200),
    "send bytes": (204, 204, 204, 204, 204),
    "ask after a finished one": (200, 200, 200, 200, 200),
    "download": (200, 404, 401, 401, 401),
    "download what is not finished": (409, 404, 401, 401, 401),
    "delete an unfinished one": (204, 204, 204, 204, 204),
    "delete a finished one": (204, 404, 401, 401, 401),
    "delete what is not there": (404, 404, 401, 401, 401),
}
STRICT = {
    **OPEN,
    "ask for the offset": (200, 404, 401, 401, 401),
    "send bytes": (204, 404, 401, 401, 401),
    "ask after a finished one": (200, 404, 401, 401, 401),
    "delete an unfinished one": (204, 404, 401, 401, 401),
}


class Visitor:
    """Does each thing with things of bob's that were just made."""

    def __init__(self, client: Client, bob: dict[str, str], own: dict[str, str]) -> None:
        """Take the server, bob's headers, and those of whoever comes."""
        self.client, self.bob, self.own = client, bob, own
        self.does: dict[str, Callable[[], Awaitable[Answer]]] = {
            "create": lambda: client.create(5, headers=own),
            "create with bytes": lambda: client.create(5, b"hello", own),
            "concatenate bob's partial": self.concatenate,
            "ask for the offset": self.on_unfinished("HEAD"),
            "send bytes": self.send,
            "ask after a finished one": self.on_finished("HEAD"),
            "download": self.on_finished("GET"),
            "download what is not finished": self.on_unfinished("GET"),
            "delete an unfinished one": self.on_unfinished("DELETE"),
            "delete a finished one": self.on_finished("DELETE"),
            "delete what is not there": lambda: client.ask("DELETE", "/files/" + "0" * 32, own),
        }

    async def concatenate(self) -> Answer:
        """Make a final of a partial of bob's."""
        partial = await self.client.create(5, b"hello", {**self.bob, "Upload-Concat": "partial"})
        return await self.client.ask("POST", headers={**self.own, "Upload-Concat": f"final;{path_of(partial.location)}"})

    def on_unfinished(self, verb: str) -> Callable[[], Awaitable[Answer]]:
        """Ask something of an unfinished upload of bob's."""

        async def ask() -> Answer:
            made = await self.client.create(5, headers=self.bob)
            return await self.client.ask(verb, made.location, self.own)

        return ask

    def on_finished(self, verb: str) -> Callable[[], Awaitable[Answer]]:
        """Ask something of a finished one."""

        async def ask() -> Answer:
            made = await self.client.create(5, b"hello", self.bob)
            return await self.client.ask(verb, made.location, self.own)

        return ask

    async def send(self) -> Answer:
        """Send bytes to an upload of bob's."""
        made = await self.client.create(5, headers=self.bob)
        return await self.client.patch(made.location, 0, b"hello", self.own)


async def seen(door: Door, client: Client) -> dict[str, tuple[int, ...]]:
    """Let everybody do everything."""
    answers: dict[str, list[int]] = {}
    for who in WHO:
        own = {**door.headers(who), "Origin": "https://page.example"}
        for what, do in Visitor(client, door.headers("owner"), own).does.items():
            answer = await do()
            answers.setdefault(what, []).append(answer.status)
            judge(answer, given=who != "nobody")
    return {what: tuple(statuses) for what, statuses in answers.items()}


def judge(answer: Answer, *, given: bool) -> None:
    """A refusal bears the headers of tus and CORS, says how to do better, and gives nothing away (rules G1, G13, H5)."""
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
    assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="tusfm"')
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == given
    if answer.status in {401, 404}:
        assert "Upload-Offset" not in answer.headers
        assert answer.body.count(b"\n") <= 1


async def test_the_backend_creates_and_the_browser_goes_on(door: Door, open_client: Client) -> None:
    """An unfinished upload's URL is enough for HEAD, PATCH and DELETE, whatever Authorization says; else the owner."""
    assert await seen(door, open_client) == OPEN


async def test_every_verb_wants_the_owner(door: Door, strict_client: Client) -> None:
    """With TUSFM_BACKEND_CREATES=0 a stranger's upload is not there, whatever is asked of it."""
    assert await seen(door, strict_client) == STRICT


async def test_what_anybody_may_ask(door: Door, strict_client: Client) -> None:
    """OPTIONS, which browsers send without credentials, and whether the server lives."""
    for path in ("/files/", "/files/" + "0" * 32):
        assert (await strict_client.ask("OPTIONS", path)).status == 204
    for path in ("/", "/healthz", "/readyz"):
        assert (await strict_client.ask("GET", path)).status in {200, 503}
    assert door.scheme


async def test_the_order_of_judgements(door: Door, strict_client: Client) -> None:
    """G17: what the request alone shows comes before who asks, and who asks before whether there is such an upload."""
    ask = strict_client.ask
    gone = "/files/" + "0" * 32
    assert (await ask("POST", headers={"Tus-Resumable": "0.2.2"})).status == 412
    assert (await ask("POST", headers={"Upload-Length": "x"})).status == 400
    assert (await ask("PATCH", gone, {"Upload-Offset": "0", "Content-Type": "text/plain"}, b"x")).status == 415
    assert (await strict_client.patch(gone, 0, b"x")).status == 401
    assert (await strict_client.patch(gone, 0, b"x", door.headers("owner"))).status == 404
    assert (await ask("HEAD", gone)).status == 401
    assert (await ask("GET", "/files/short")).status == 404


async def test_odd_credentials(door: Door, open_client: Client) -> None:
    """Other schemes, two of them, blanks, nonsense and what is too long are 401; the scheme's letter case means nothing."""
    good = door.credentials["owner"]
    assert (await open_client.create(5, headers={"Authorization": f"bEARER  {good} "})).status == 201
    odd = [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {good}",
        good,
        f"Bearer {good} {good}",
        f"Bearer {good},x",
        "Bearer é",
        "Bearer " + "a" * 9000,
    ]
    for value in odd:
        answer = await open_client.create(5, headers={"Authorization": value, "Origin": "https://page.example"})
        assert answer.status == 401, value[:20]
        judge(answer, given=True)
    async with open_client.raw() as raw:
        lines = f"Authorization: Bearer {good}\r\n" * 2
        await raw.send(f"POST /files HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n{lines}\r\n")
        assert (await raw.answer()).status == 401


async def test_the_log_has_no_credential(door: Door, open_client: Client) -> None:
    """Not even at level debug, and not when a header is too long to be read."""
    for who in WHO:
        await open_client.create(5, headers=door.headers(who))
        await open_client.ask("GET", "/files/" + "0" * 32 + f"?signature={door.credentials[who]}", door.headers(who))
    async with open_client.raw() as raw:
        long = "a-long-credential" * 3000
        await raw.send(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n")
        assert (await raw.answer()).status == 400
    async with open_client.raw() as raw:
        await raw.send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-long-credential\x00\r\n\r\n")
        assert (await raw.answer()).status == 400
    for log in (door.open_.log(), door.strict.log()):
        assert "a-long-credential" not in log
        assert not any(credential in log for credential in door.credentials.values() if credential)
