"""Answers to COMMIT that are lost: what may have been done counts neither as done nor as not done."""

import asyncio
import signal

import pytest

from tests.conformance.client import Client, noise
from tests.faults.conftest import MIB, Site, both

COMMITS = "UPDATE uploads SET upload_offset"

pytestmark = pytest.mark.xdist_group("faults")  # which share their servers


async def goes_on(client: Client, url: str, data: bytes, step: int) -> None:
    """Finish an upload as a client does: after each answer that is no 204 it asks for the offset."""
    while (offset := (await client.head(url)).offset) < len(data):
        answer = await client.patch(url, offset, data[offset : offset + step])
        assert answer.status in {204, 409, 503}, answer
        await asyncio.sleep(0.1 * (answer.status != 204))
    assert await client.content(url) == data


@pytest.mark.parametrize("size", [MIB, 3 * MIB], ids=["a tail", "a whole file"])
async def test_a_commit_that_was_done_before_somebody_took_over(site: Site, size: int) -> None:
    """A small body's commit is done, its answer lost, and the next PATCH, on another server, comes before it is repeated:
    the repetition finds another epoch, and deletes nothing.
    """
    data = noise(3 * MIB)
    async with both(site) as (first, second):
        url = await first.made(len(data))
        loss = site.mysql.lose(COMMITS, waits=True)
        sending = asyncio.create_task(first.patch(url, 0, data[:size]))
        assert await asyncio.to_thread(loss.happened.wait, 60)
        offset = (await second.head(url)).offset
        assert offset == size
        await second.patch(url, offset, data[size : 2 * MIB] or b"")
        loss.meanwhile.set()
        assert (await sending).status in {204, 409, 503}
        await goes_on(second, url, data, MIB)


@pytest.mark.parametrize("before", [False, True], ids=["done", "not done"])
@pytest.mark.parametrize("statement", [COMMITS, "UPDATE uploads SET multipart =", "UPDATE uploads SET epoch = epoch + 1"])
async def test_a_large_upload_whose_answers_are_lost(site: Site, statement: str, before: bool) -> None:  # noqa: FBT001
    """Claims, records of multipart uploads and commits are repeated, and mean the same as if they had been heard."""
    data = noise(12 * MIB)
    async with both(site) as (first, _):
        url = await first.made(len(data))
        await first.patch(url, 0, data[:1000])
        losses = [site.mysql.lose(statement, before=before) for _ in range(2)]
        await goes_on(first, url, data, 10 * MIB)
        assert losses[0].happened.is_set()


@pytest.mark.parametrize("before", [False, True], ids=["done", "not done"])
async def test_a_creation_and_a_deletion(site: Site, before: bool) -> None:  # noqa: FBT001
    """A creation is made once; a deletion that is repeated finds nothing to do, and nothing is left."""
    async with both(site) as (first, _):
        site.mysql.lose("INSERT INTO uploads", before=before)
        url = await first.made(5)
        assert (await first.patch(url, 0, b"hello")).status == 204
        site.mysql.lose("UPDATE uploads SET state", before=before)
        assert (await first.ask("DELETE", url)).status in {204, 404}
        assert (await first.head(url)).status == 404


@pytest.mark.parametrize("before", [False, True], ids=["done", "not done"])
async def test_a_concatenation_whose_answers_are_lost(site: Site, before: bool) -> None:  # noqa: FBT001
    """The final is made once, and each copied part recorded once."""
    data = noise(6 * MIB)
    async with both(site) as (first, _):
        partials = []
        for _ in range(2):
            url = await first.made(len(data), Upload_Concat="partial")
            assert (await first.patch(url, 0, data)).status == 204
            partials.append(url)
        for statement in ("INSERT INTO partials", "INSERT INTO composed_parts", "UPDATE uploads SET state = 'available'"):
            site.mysql.lose(statement, before=before)
        other = site.servers[1].process
        assert other is not None
        other.send_signal(signal.SIGSTOP)  # it would finish the final if it found it first, and all its answers are heard
        try:
            answer = await first.ask("POST", headers={"Upload-Concat": f"final;{partials[0]} {partials[1]}"})
            assert answer.status == 201
            assert await first.content(answer.location) == data + data
        finally:
            other.send_signal(signal.SIGCONT)
        for loss in site.mysql.losses:
            assert await asyncio.to_thread(loss.happened.wait, 60)


async def test_a_crowd_before_a_slow_database_is_served(site: Site) -> None:
    """Two hundred questions at once to a database that takes half a second for each: who waits for a connection waits for as
    long as others get answers, which is longer than a database that is away would be waited for.
    """
    async with both(site) as (first, _):
        url = await first.made(5)
        site.mysql.slow = 0.2
        answers = await asyncio.gather(*(first.head(url) for _ in range(200)))
        assert sum(answer.status == 200 for answer in answers) > 190
