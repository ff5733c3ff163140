"""From chunks to a file: order, replacement, what is missing, trying again."""

import asyncio
import itertools
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat.client import CHUNK, INIT, NOT_BEGUN, RETRY, Client, Parts, refusal
from tests.conformance.client import noise
from tests.deployments import Deployment, Start

MIB = 1024 * 1024


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_chunks_come_in_any_order(client: Client, order: tuple[int, ...]) -> None:
    """The file is its chunks by their index."""
    upload_id, chunks = await client.begun(), [b"first, ", b"", b"and last"]
    for index in order:
        assert (await client.chunk(upload_id, index, chunks[index])).status == 200
    file = (await client.complete(upload_id, 3)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"first, and last"


async def test_chunks_come_at_once(client: Client) -> None:
    """Twelve chunks of different sizes in parallel, two of them sent twice with the same bytes, are one file."""
    chunks = [noise(random.Random(index).choice([0, 1, 70_000, 900_000]), index) for index in range(12)]
    upload_id = await client.begun()
    sent = [client.chunk(upload_id, index, data) for index, data in enumerate(chunks)]
    again = [client.chunk(upload_id, index, chunks[index]) for index in (3, 7)]
    assert {answer.status for answer in await asyncio.gather(*sent, *again)} == {200}
    file = (await client.complete(upload_id, len(chunks))).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"".join(chunks)


async def test_chunks_that_the_storage_copies(client: Client) -> None:
    """Chunks of 5 MiB and more, with a short one last."""
    chunks = [noise(5 * MIB, 1), noise(6 * MIB, 2), noise(1000, 3)]
    assert await client.content(await client.made(*chunks)) == b"".join(chunks)


async def test_a_chunk_replaces_and_a_refused_one_does_not(client: Client) -> None:
    """The last that was answered 200 counts."""
    upload_id = await client.begun()
    for data in (b"old", b"newer"):
        assert (await client.chunk(upload_id, 0, data)).status == 200
    refused: Parts = [("file", b"refused"), ("upload_id", upload_id), ("chunk_index", "0"), ("chunk_size", "x")]
    assert (await client.post(CHUNK, refused)).status == 422
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"newer"


async def test_extra_chunks_are_ignored(client: Client) -> None:
    """Indexes from `total_chunks` on are not in the file; the largest index is in order."""
    upload_id = await client.begun()
    for index, data in ((0, b"a"), (1, b"b"), (2, b"c"), (2147483647, b"z")):
        assert (await client.chunk(upload_id, index, data)).status == 200
    file = (await client.complete(upload_id, 2)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"ab"


async def test_no_chunks_are_an_empty_file(client: Client) -> None:
    """`total_chunks` of 0 is an empty file, and so is one empty chunk."""
    for chunks in ((), (b"",)):
        assert await client.content(await client.made(*chunks)) == b""


async def test_a_missing_chunk_is_a_failure_that_can_be_mended(client: Client) -> None:
    """`complete` is answered 200, the status is FAILURE, and after the chunk and `retry` the same file is SUCCESS."""
    upload_id = await client.begun()
    await client.chunk(upload_id, 1, b"world")
    file = (await client.complete(upload_id, 2, credential='{"a": "1"}')).data
    assert await client.settled(file) == "FAILURE"
    assert (await client.chunk(upload_id, 0, b"hello ")).status == 200
    assert await client.status(file) == "FAILURE"
    answer = await client.post(RETRY, [("file_id", file["id"]), ("credential", '{"a": "1"}')])
    assert {**answer.data, "download_url": ""} == {**file, "download_url": ""}
    assert await client.status(file) != "FAILURE"
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"hello world"


async def test_a_retry_that_fails_again(client: Client) -> None:
    """Nothing was sent, so it is a FAILURE again, and can be tried again."""
    file = (await client.complete(await client.begun(), 1)).data
    for _ in range(2):
        assert await client.settled(file) == "FAILURE"
        assert (await client.post_pairs(RETRY, [("file_id", file["id"])])).data == file


async def test_a_finished_file_is_not_retried(client: Client) -> None:
    """`retry` of a SUCCESS is 400, and changes nothing."""
    file = await client.made(b"hello")
    answer = await client.post(RETRY, [("file_id", file["id"])])
    assert (answer.status, answer.body) == (400, refusal("File uploaded previously!"))
    assert await client.status(file) == "SUCCESS"


@pytest.mark.parametrize(("attempts", "status"), [(0, "PENDING"), (1, "STARTED")])
async def test_a_file_that_is_being_made_is_not_retried(
    client: Client, server: Deployment, attempts: int, status: str
) -> None:
    """While somebody holds it, the status is PENDING until it was taken, and STARTED then; `retry` is 400."""
    file = await client.made(b"hello")
    upload_id = file["path"].partition("/")[2].partition(".")[0]
    held = f"state = 'finalizing', lease_until = 99999999999999, attempts = {attempts}"
    server.stack.execute(f"UPDATE uploads SET {held} WHERE id = '{upload_id}'")
    assert await client.status(file) == status
    answer = await client.post(RETRY, [("file_id", file["id"])])
    assert (answer.status, answer.body) == (400, refusal("File is uploading!"))
    server.stack.execute(f"UPDATE uploads SET state = 'available', lease_until = NULL WHERE id = '{upload_id}'")
    assert await client.status(file) == "SUCCESS"


async def test_complete_again_gives_the_same_file(client: Client) -> None:
    """After SUCCESS the first call's values stand."""
    file = await client.made(b"hello", detail='{"a": "first"}')
    upload_id = file["path"].partition("/")[2].partition(".")[0]
    again = await client.complete(upload_id, 5, file_extension="png", content_type="x", credential='{"b": "1"}')
    assert again.data == file
    assert await client.status(file) == "SUCCESS"
    assert await client.content(file) == b"hello"


async def test_complete_again_after_a_failure_takes_the_new_values(client: Client) -> None:
    """Old clients recover so: under the same id, with another extension, and now private."""
    upload_id = await client.begun()
    await client.chunk(upload_id, 0, b"hello")
    file = (await client.complete(upload_id, 2)).data
    assert await client.settled(file) == "FAILURE"
    again = (await client.complete(upload_id, 1, file_extension="csv", credential='{"b": 1}', detail='{"d": 2}')).data
    assert (again["id"], again["credential"], again["detail"]) == (file["id"], {"b": "1"}, {"d": "2"})
    assert again["path"].endswith(f"/{upload_id}.csv")
    assert again["path"].partition("/")[0] != file["path"].partition("/")[0]
    assert await client.settled(again) == "SUCCESS"
    assert await client.content(again) == b"hello"


async def test_complete_at_once_gives_one_file(client: Client) -> None:
    """Five calls in parallel are answered with the same file, and it is made once."""
    upload_id = await client.begun()
    await client.chunk(upload_id, 0, b"hello")
    answers = await asyncio.gather(*(client.complete(upload_id, 1) for _ in range(5)))
    file = answers[0].data
    assert all(answer.data == file for answer in answers)
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"hello"


@given(
    sent=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 1000, 70_000])), max_size=7),
    total=st.integers(0, 4),
    together=st.booleans(),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_sent(client: Client, sent: list[tuple[int, int]], total: int, together: bool) -> None:  # noqa: FBT001
    """Any order, repeated or not, one after another or all at once: the last of each index counts, or it is a FAILURE."""
    upload_id = await client.begun()
    if together:
        sent = list(dict(sent).items())
    chunks = [(index, noise(size, number)) for number, (index, size) in enumerate(sent)]
    sending = [client.chunk(upload_id, index, data) for index, data in chunks]
    answers = await asyncio.gather(*sending) if together else [await one for one in sending]
    assert {answer.status for answer in answers} <= {200}
    last = dict(chunks)
    file = (await client.complete(upload_id, total)).data
    assert await client.settled(file) == ("SUCCESS" if set(range(total)) <= set(last) else "FAILURE")
    for index in set(range(total)) - set(last):
        assert (await client.chunk(upload_id, index, b"late")).status == 200
        last[index] = b"late"
    await client.post(RETRY, [("file_id", file["id"])])
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"".join(last[index] for index in range(total))


async def test_a_chunk_after_success(client: Client) -> None:
    """A finished file takes no chunks: 422, as for an upload that was never begun."""
    file = await client.made(b"hello")
    upload_id = file["path"].partition("/")[2].partition(".")[0]
    answer = await client.chunk(upload_id, 0, b"other")
    assert (answer.status, answer.body) == (422, refusal(NOT_BEGUN))
    assert await client.content(file) == b"hello"


async def test_a_strict_total_size(fresh: Start) -> None:
    """With `TUSFM_LEGACY_STRICT_SIZE=1` a size that differs is a FAILURE; the right one is in order."""
    deployment = fresh(TUSFM_LEGACY_STRICT_SIZE="1", APP_MAX_CHUNK_SIZE="1000")
    async with Client(deployment.urls[0]) as client:
        upload_id = await client.begun()
        assert (await client.chunk(upload_id, 0, b"x" * 1000)).status == 200
        refused = await client.chunk(upload_id, 1, b"x" * 1001)
        assert json.loads(refused.body)["errors"] == [
            "[body->chunk_size] input should be less than or equal to 1000",
            "[body->file] file sile is larger than valid chunk size",
        ]
        assert (await client.ask("POST", INIT)).data["chunk_size"] == 1000
        file = (await client.complete(upload_id, 1, total_size="999")).data
        assert await client.settled(file) == "FAILURE"
        again = (await client.complete(upload_id, 1, total_size="1000")).data
        assert (again["id"], await client.settled(again)) == (file["id"], "SUCCESS")


async def test_a_tus_upload_is_none_of_this(client: Client) -> None:
    """An upload that was created by tus was never begun here."""
    heads = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    created = await client.ask("POST", "/files/", headers=heads)
    upload_id = created.headers["Location"].rpartition("/")[2]
    for answer in (await client.chunk(upload_id, 0, b"hello"), await client.complete(upload_id, 1)):
        assert (answer.status, answer.body) == (422, refusal(NOT_BEGUN))
