"""H: HEAD."""

import pytest

from tests.conformance.client import Client, encoded, patch_head, path_of
from tests.deployments import Deployment

ROUNDS = 6
METADATA = f"filename {encoded('ä b.txt')},empty,filetype {encoded('text/plain')} , x {encoded(bytes(range(256)))}"


async def test_h1_a_new_upload_is_at_0(client: Client) -> None:
    """H1: HEAD is 200 with Upload-Offset 0, Upload-Length, and Cache-Control: no-store."""
    answer = await client.head(await client.made(7))
    assert (answer.status, answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == (200, "0", "7")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Upload-Defer-Length" not in answer.headers


async def test_h1_a_deferred_length_is_said(client: Client) -> None:
    """H2: without a length there is Upload-Defer-Length: 1, never both."""
    answer = await client.head(await client.made())
    assert answer.headers["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in answer.headers


async def test_h1_a_finished_upload_keeps_its_offset(client: Client) -> None:
    """H1: a finished upload answers offset = length."""
    answer = await client.head(await client.whole(b"abc"))
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("3", "3")
    assert "Upload-Expires" not in answer.headers


@pytest.mark.parametrize("metadata", [METADATA, "k", "", "a,b,c", "  a YQ== , b "])
async def test_h3_metadata_comes_back_to_the_byte(client: Client, metadata: str) -> None:
    """H3: Upload-Metadata is as the client gave it."""
    url = await client.made(1, Upload_Metadata=metadata)
    assert (await client.head(url)).headers.get("Upload-Metadata", "") == metadata.strip()


async def test_h5_unknown_and_terminated_are_404_without_an_offset(client: Client) -> None:
    """H5: 404 bears no Upload-Offset, for one client trusts it at any status; it may not be cached either."""
    url = await client.made(1)
    await client.ask("DELETE", url)
    for gone in (url, "/files/" + "f" * 32):
        answer = await client.head(gone)
        assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")
        assert "Upload-Offset" not in answer.headers


async def test_h6_head_shows_the_expiry(client: Client) -> None:
    """H6: an unfinished upload says when it expires."""
    answer = await client.head(await client.made(9))
    assert answer.headers["Upload-Expires"].endswith(" GMT")


@pytest.mark.parametrize("size", [1, 100_000, 1_500_000])
async def test_h6_head_during_a_patch_counts_what_has_arrived(client: Client, size: int) -> None:
    """H6: HEAD during a running PATCH answers with all that arrived, and does not end it.

    A machine that stands still may keep the writer from answering in its second: there are so many rounds.
    """
    length = ROUNDS * size + 5
    url = await client.made(length)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, length))
        sent, counted = 0, -1
        while counted < sent < ROUNDS * size:
            await raw.send(b"a" * size)
            sent += size
            await raw.taken()
            counted = (await client.head(url)).offset
        assert counted == sent
        await raw.send(b"b" * (length - sent))
        assert (await raw.answer()).status == 204
    assert await client.content(url) == b"a" * sent + b"b" * (length - sent)


async def test_h6_after_a_dead_sender_the_next_patch_goes_on(client: Client) -> None:
    """H6, P7: a silent connection is no obstacle to the next request, and nothing is sent twice."""
    url = await client.made(2_000_000)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 2_000_000) + b"a" * 1_500_000)
        assert await client.offset_after(url, 1_500_000) == 1_500_000
        assert (await client.patch(url, 1_500_000, b"b" * 500_000)).status == 204
        assert await raw.closed()
    assert await client.content(url) == b"a" * 1_500_000 + b"b" * 500_000


async def test_h6_head_during_a_checksummed_patch_answers_at_once(client: Client) -> None:
    """H6, K5: while a checksum is not known to be right, HEAD answers the offset before it, at once."""
    url = await client.made(10)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 10, Upload_Checksum="sha1 " + encoded(b"\0" * 20)) + b"a" * 4)
        await raw.taken()
        assert (await client.head(url)).offset == 0


async def test_h7_a_database_that_is_away_is_423(server: Deployment, client: Client) -> None:
    """H7: HEAD is never 5xx: clients then begin again at byte 0; what is away is 423 with Retry-After."""
    url = await client.made(3)
    server.stack.execute("ALTER TABLE uploads RENAME TO elsewhere")
    try:
        answer = await client.head(url)
        patched = await client.patch(url, 0, b"abc")
    finally:
        server.stack.execute("ALTER TABLE elsewhere RENAME TO uploads")
    assert (answer.status, "Retry-After" in answer.headers) == (423, True)
    assert (patched.status, "Retry-After" in patched.headers) == (503, True)
    assert b"sql" not in patched.body.lower()
    assert (await client.head(url)).status == 200
