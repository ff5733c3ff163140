"""What clients of the old API read when something that stands behind the server is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.compat.client import BASE, CHUNK, COMPLETE, INIT, RETRY, Answer, Client, refusal
from tests.conformance.test_bad_days import Day, day
from tests.deployments import Deployment
from tests.services.s3 import S3Server
from tests.services.toxiproxy import Toxiproxy
from tests.stacks import EmbeddedStack

AWAY = refusal("Something that the server needs is away; please try again in a moment.")


def away(answer: Answer) -> None:
    """It is 503 in the envelope, with the seconds after which trying again makes sense."""
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (503, AWAY, "5")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.fixture
async def today(tmp_path: Path, mysql_server: URL, minio_server: S3Server, toxiproxy: Toxiproxy) -> AsyncIterator[Day]:
    """Start a server whose storage and database are reached through proxies."""
    async with day(tmp_path, mysql_server, minio_server, toxiproxy) as one:
        yield one


async def test_the_database_is_away(today: Day) -> None:
    """All six endpoints are 503; when it is back, the client goes on where it was."""
    async with Client(today.deployment.urls[0]) as client:
        file = await client.made(b"hello")
        upload_id = await client.begun()
        assert (await client.chunk(upload_id, 0, b"first ")).status == 200
        today.mysql.cut()
        away(await client.ask("POST", INIT))
        away(await client.chunk(upload_id, 1, b"second"))
        away(await client.complete(upload_id, 2))
        away(await client.post(RETRY, [("file_id", file["id"])]))
        for what in ("get", "status"):
            away(await client.ask("GET", f"{BASE}/{what}/{file['id']}"))
        assert (await client.post(COMPLETE, [])).status == 422
        today.mysql.mend()
        assert (await client.chunk(upload_id, 1, b"second")).status == 200
        made = (await client.complete(upload_id, 2)).data
        assert await client.settled(made) == "SUCCESS"
        assert await client.content(made) == b"first second"


async def test_the_storage_is_away(today: Day) -> None:
    """A chunk is 503 and leaves what was there; all others need no storage, and the file is made when it is back."""
    async with Client(today.deployment.urls[0]) as client:
        upload_id = await client.begun()
        assert (await client.chunk(upload_id, 0, b"hello")).status == 200
        today.s3.fail("", "forbidden", many=10_000)
        away(await client.chunk(upload_id, 0, b"other"))
        file = (await client.complete(upload_id, 1)).data
        assert await client.status(file) in {"PENDING", "STARTED"}
        assert (await client.ask("GET", f"{BASE}/get/{file['id']}")).data == file
        today.s3.clear()
        assert await client.settled(file) == "SUCCESS"
        assert await client.content(file) == b"hello"


async def test_a_directory_that_is_away(tmp_path: Path) -> None:
    """On the embedded stack the same."""
    stack = EmbeddedStack(tmp_path / "data")
    deployment = Deployment(tmp_path, stack)
    deployment.start()
    async with Client(deployment.urls[0]) as client:
        upload_id = await client.begun()
        assert (await client.chunk(upload_id, 0, b"hello")).status == 200
        work, hidden = stack.data / "work", stack.data / "hidden"
        work.rename(hidden)
        try:
            away(await client.chunk(upload_id, 0, b"other"))
        finally:
            hidden.rename(work)
        file = (await client.complete(upload_id, 1)).data
        assert await client.settled(file) == "SUCCESS"
        assert await client.content(file) == b"hello"
    deployment.stop()


async def test_a_server_that_fails_in_the_middle_of_a_form(today: Day) -> None:
    """The refusal is read by a client that is still sending, and the connection is closed behind it."""
    async with Client(today.deployment.urls[0]) as client:
        today.mysql.cut()
        answer = await client.post(CHUNK, [("file", bytes(4_000_000)), ("upload_id", "x")])
        away(answer)
        assert answer.headers["Connection"] == "close"
