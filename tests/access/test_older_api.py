"""The older API with TUSFM_LEGACY_AUTH: every endpoint wants the owner, by the same schemes."""

import pytest

from tests.access.conftest import Door
from tests.compat.client import CHUNK, COMPLETE, INIT, NOT_BEGUN, RETRY, Answer, Client, refusal

pytestmark = pytest.mark.xdist_group("access")
NEEDED = refusal("A valid token is needed!")


async def everything(client: Client, upload_id: str, file_id: str) -> dict[str, Answer]:
    """Ask each endpoint for something of somebody's."""
    said = [("upload_id", upload_id), ("total_chunks", "1"), ("total_size", "5"), ("file_extension", "txt")]
    return {
        "init": await client.ask("POST", INIT),
        "chunk": await client.post(
            CHUNK, [("file", b"hello"), ("upload_id", upload_id), ("chunk_index", "0"), ("chunk_size", "5")]
        ),
        "complete": await client.post(COMPLETE, [*said, ("content_type", "text/plain")]),
        "retry": await client.post(RETRY, [("file_id", file_id)]),
        "get": await client.ask("GET", f"/api/v1/file/get/{file_id}"),
        "status": await client.ask("GET", f"/api/v1/file/status/{file_id}"),
    }


async def test_every_endpoint_wants_the_owner(door: Door) -> None:
    """A wrong, old or missing credential is 401 in the older API's own envelope; to a stranger nothing is there."""
    async with Client(door.strict.url) as client:
        client.session.headers.update(door.headers("owner"))
        file, begun = await client.made(b"hello"), await client.begun()
        assert (await client.chunk(begun, 0, b"hello")).status == 200
        for who in ("wrong", "expired", "nobody"):
            client.session.headers.pop("Authorization", None)
            client.session.headers.update(door.headers(who))
            for what, answer in (await everything(client, begun, file["id"])).items():
                assert (answer.status, answer.body) == (401, NEEDED), (who, what)
                assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="tusfm"')
        client.session.headers.update(door.headers("stranger"))
        seen = await everything(client, begun, file["id"])
        assert {what: answer.status for what, answer in seen.items()} == {
            "init": 200,
            "chunk": 422,
            "complete": 422,
            "retry": 404,
            "get": 404,
            "status": 404,
        }
        assert seen["chunk"].body == seen["complete"].body == refusal(NOT_BEGUN)
        client.session.headers.update(door.headers("owner"))
        assert (await client.complete(begun, 1)).status == 200


async def test_it_stays_open_unless_it_is_asked_for(door: Door) -> None:
    """TUSFM_AUTH alone changes nothing for clients of the older API."""
    async with Client(door.open_.url) as client:
        file = await client.made(b"hello")
        assert await client.status(file) == "SUCCESS"
