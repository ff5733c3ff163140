"""P: PATCH."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import OCTETS, Client, noise, patch_head, path_of
from tests.deployments import Deployment


async def pieces(*parts: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    """Stream a body, so that it is sent chunked."""
    for part in parts:
        yield part
        await asyncio.sleep(pause)


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", None, "application/offset+octet-streams", ""])
async def test_p2_another_content_type_is_415(client: Client, kind: str | None) -> None:
    """P2: a body of another type, or of none, is refused and not stored."""
    url = await client.made(3)
    assert (await client.patch(url, 0, b"abc", {"Content-Type": kind})).status == 415
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize("kind", ["Application/Offset+Octet-Stream", "application/offset+octet-stream; charset=utf-8"])
async def test_p2_case_and_parameters_of_the_type_mean_nothing(client: Client, kind: str) -> None:
    """P2: the type is compared without its parameters, whatever its letters' case."""
    assert (await client.patch(await client.made(3), 0, b"abc", {"Content-Type": kind})).status == 204


@pytest.mark.parametrize("offset", [0, 1, 4, 10, 2**62])
async def test_p3_a_wrong_offset_is_409_with_the_true_one(client: Client, offset: int) -> None:
    """P3: an offset that differs either way is 409, says the true one, and changes nothing."""
    url = await client.made(10)
    await client.patch(url, 0, b"abc")
    answer = await client.patch(url, offset, b"xy")
    assert (answer.status, answer.offset) == (409, 3)
    assert (await client.head(url)).offset == 3


@pytest.mark.parametrize("size", [1, 65536, 1_048_576, 1_048_577, 5_000_000])
async def test_p4_bytes_are_taken_and_come_back(client: Client, size: int) -> None:
    """P4: 204 with the new offset and no body; Upload-Expires while unfinished; the bytes are those that were sent."""
    data = noise(size)
    url = await client.made(size + 1)
    answer = await client.patch(url, 0, data)
    assert (answer.status, answer.offset, answer.body) == (204, size, b"")
    assert "Upload-Expires" in answer.headers
    last = await client.patch(url, size, b"!")
    assert (last.status, last.offset) == (204, size + 1)
    assert "Upload-Expires" not in last.headers
    assert await client.content(url) == data + b"!"


@pytest.mark.parametrize("count", [1, 7, 40])
async def test_p4_many_patches_make_the_file(client: Client, count: int) -> None:
    """P4: however the bytes are cut, the file is the same."""
    data = noise(count * 30_000)
    url = await client.made(len(data))
    for start in range(0, len(data), 30_000):
        assert (await client.patch(url, start, data[start : start + 30_000])).offset == start + 30_000
    assert await client.content(url) == data


async def test_p4_a_chunked_body_works(client: Client) -> None:
    """P4: Transfer-Encoding: chunked is taken like any other body, and the connection is not reused after it."""
    url = await client.made(10)
    answer = await client.patch(url, 0, pieces(b"hello", b"world"))
    assert (answer.status, answer.offset, answer.headers["Connection"]) == (204, 10, "close")
    assert await client.content(url) == b"helloworld"


async def test_p4_a_large_chunked_body_works(client: Client) -> None:
    """P4: a chunked body of many megabytes is not held in memory, and arrives whole."""
    data = noise(6_000_000)
    url = await client.made(len(data))
    answer = await client.patch(url, 0, pieces(*(data[at : at + 70_000] for at in range(0, len(data), 70_000))))
    assert answer.offset == len(data)
    assert await client.content(url) == data


async def test_p6_a_missing_offset_is_400(client: Client) -> None:
    """P6: without Upload-Offset nothing is taken."""
    assert (await client.ask("PATCH", await client.made(3), OCTETS, b"abc")).status == 400


@pytest.mark.parametrize("size", [4, 3_000_000])
async def test_p6_a_body_over_the_length_is_413_before_it_is_read(client: Client, server: Deployment, size: int) -> None:
    """P6: by its Content-Length a body over what is left is refused, and nothing of it is stored."""
    url = await client.made(3)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, size) + b"abcd")
        assert (await raw.answer()).status == 413
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_p6_a_chunked_body_over_the_length_never_finishes_the_upload(client: Client, size: int) -> None:
    """P6: the byte too many is 413, and such a request does not end the upload."""
    url = await client.made(size)
    answer = await client.patch(url, 0, pieces(noise(size), b"x"))
    assert answer.status == 413
    status = await client.head(url)
    assert status.offset < size
    assert (await client.patch(url, status.offset, noise(size)[status.offset :])).status == 204
    assert await client.content(url) == noise(size)


async def test_p6_a_chunked_body_that_breaks_off_at_the_length_does_not_finish(client: Client) -> None:
    """P6: the commit that reaches the length waits for the end of the body."""
    url = await client.made(10)
    async with client.raw() as raw:
        head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        await raw.send(head + b"a\r\n0123456789\r\n")
        await raw.taken()
        assert (await client.head(url)).offset < 10
        await raw.send(b"0\r\n\r\n")
        assert (await raw.answer()).headers["Upload-Offset"] == "10"
    assert await client.content(url) == b"0123456789"


@pytest.mark.parametrize("size", [1000, 2_000_000])
async def test_p7_the_newer_patch_takes_over(client: Client, size: int) -> None:
    """P7: a PATCH at the right offset takes the upload at once; the older one finds its connection closed."""
    url = await client.made(size)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, size) + b"o")
        assert await client.offset_after(url, 1) == 1
        assert (await client.patch(url, 1, b"n" * (size - 1))).status == 204
        assert await raw.closed()
    assert await client.content(url) == b"o" + b"n" * (size - 1)


async def test_p7_many_patches_at_once_let_one_win(client: Client) -> None:
    """P7: of many PATCHes at one offset the file holds one whole, and nobody hears 5xx."""
    url = await client.made(60_000)
    bodies = [bytes([65 + n]) * 60_000 for n in range(12)]

    async def one(body: bytes) -> int:
        try:
            return (await client.patch(url, 0, body)).status
        except OSError:
            return 0

    statuses = await asyncio.gather(*map(one, bodies))
    assert statuses.count(204) == 1
    assert set(statuses) <= {0, 204, 409, 413}
    assert await client.content(url) in bodies


async def test_p8_a_finished_upload_is_content_with_nothing(client: Client) -> None:
    """P8: offset = length and an empty body is 204; with a body 413; another offset is 409."""
    url = await client.whole(b"abc")
    assert (await client.patch(url, 3, b"")).status == 204
    assert (await client.patch(url, 3, b"d")).status == 413
    assert (await client.patch(url, 3, pieces(b"d"))).status == 413
    assert (await client.patch(url, 3, pieces())).status == 204
    assert (await client.patch(url, 0, b"abc")).status == 409


@pytest.mark.parametrize(("offset", "status"), [(1, b"409"), (0, b"415")])
async def test_p9_a_refused_request_never_hears_100(client: Client, offset: int, status: bytes) -> None:
    """P9: a request that will be refused is refused without 100 Continue."""
    url = await client.made(10)
    kind = {"Content_Type": "text/plain"} if status == b"415" else {}
    head = patch_head(path_of(url), offset, 10, Expect="100-continue")
    if kind:
        head = head.replace(b"application/offset+octet-stream", b"text/plain")
    async with client.raw() as raw:
        await raw.send(head)
        assert (await raw.answer()).reason.split(" ")[1].encode() == status  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 5, 2_000_000])
async def test_p9_100_comes_before_a_2xx(client: Client, size: int) -> None:
    """P9: 100 always comes before a 2xx, also for an empty body."""
    url = await client.made(3_000_000)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, size, Expect="100-continue"))
        assert (await raw.answer()).status == 100
        await raw.send(b"x" * size)
        answer = await raw.answer()
    assert (answer.status, answer.offset) == (204, size)


async def test_p9_a_creation_with_its_body_hears_100_too(client: Client) -> None:
    """P9: so does a creation with its body."""
    async with client.raw() as raw:
        head = (
            b"POST /files/ HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 3\r\nContent-Length: 3\r\n"
            b"Content-Type: application/offset+octet-stream\r\nExpect: 100-continue\r\n\r\n"
        )
        await raw.send(head)
        assert (await raw.answer()).status == 100
        await raw.send(b"abc")
        assert (await raw.answer()).status == 201
