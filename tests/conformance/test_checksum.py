"""K: checksums."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import OCTETS, Client, digest, encoded, noise, patch_head, path_of
from tests.conformance.conftest import EACH_STACK
from tests.deployments import Start

ALGORITHMS = ["sha1", "sha256", "sha512", "md5", "crc32"]
UNREADABLE = [
    "sha1",
    "sha1 ",
    "",
    "sha1 !!!!",
    "sha1 " + encoded(b"\0" * 19),
    "sha1 " + encoded(b"\0" * 20).rstrip("="),
    "crc32 " + encoded(b"\0" * 5),
    "sha3 " + encoded(b"\0" * 20),
    "SHA1 " + encoded(b"\0" * 20),
    "sha1  " + encoded(b"\0" * 20),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_k1_the_right_digest_is_204(client: Client, algorithm: str, size: int) -> None:
    """K1, K2: each advertised algorithm is checked, and the right digest is content."""
    data = noise(size)
    url = await client.made(size)
    answer = await client.patch(url, 0, data, {"Upload-Checksum": digest(algorithm, data)})
    assert (answer.status, answer.offset) == (204, size)
    assert await client.content(url) == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [10, 2_000_000, 40_000_000])
async def test_k3_a_mismatch_is_460_and_changes_nothing(client: Client, algorithm: str, size: int) -> None:
    """K3: another digest is 460 Checksum Mismatch, and the offset is as before."""
    if size > 10_000_000 and algorithm != "crc32":
        pytest.skip("one large body is enough")
    url = await client.made(size + 3)
    await client.patch(url, 0, b"abc")
    answer = await client.patch(url, 3, noise(size), {"Upload-Checksum": digest(algorithm, b"other")})
    assert (answer.status, answer.reason) == (460, "Checksum Mismatch")
    assert (await client.head(url)).offset == 3
    assert (await client.patch(url, 3, noise(size), {"Upload-Checksum": digest(algorithm, noise(size))})).status == 204
    assert await client.content(url) == b"abc" + noise(size)


@pytest.mark.parametrize("length", [3, 4], ids=["finished", "unfinished"])
async def test_k3_an_empty_body_has_a_checksum_too(client: Client, length: int) -> None:
    """K3: the digest of no bytes is 204, another one 460, by Content-Length and chunked."""
    url = await client.made(length)
    await client.patch(url, 0, b"abc")
    for body in (b"", nothing()):
        assert (await client.patch(url, 3, body, {"Upload-Checksum": digest("sha1", b"abc")})).status == 460
    assert (await client.patch(url, 3, b"", {"Upload-Checksum": digest("sha1", b"")})).status == 204


async def nothing() -> AsyncIterator[bytes]:
    """Give no bytes, chunked."""
    for piece in list[bytes]():
        yield piece


@pytest.mark.parametrize("value", UNREADABLE)
async def test_k4_an_unreadable_checksum_is_400(client: Client, value: str) -> None:
    """K4: an unknown algorithm, or a digest that cannot be one, is 400 before anything is read."""
    url = await client.made(3)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 3, Upload_Checksum=value))
        assert (await raw.answer()).status == 400
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_k5_nothing_of_a_broken_body_counts(client: Client, size: int) -> None:
    """K5: when the body breaks off nothing of it counts, and no length that it declared."""
    url = await client.made()
    async with client.raw() as raw:
        head = patch_head(path_of(url), 0, size, Upload_Checksum=digest("sha1", b"x"), Upload_Length=str(size))
        await raw.send(head + b"x" * (size - 50))
        await raw.taken()
        raw.reset()
    await asyncio.sleep(0.2)
    answer = await client.head(url)
    assert (answer.offset, "Upload-Length" in answer.headers) == (0, False)
    assert (await client.patch(url, 0, b"abc", {"Upload-Length": "3"})).status == 204


async def test_k5_a_mismatch_declares_no_length(client: Client) -> None:
    """K5: a length that came with a mismatch was not set."""
    for size in (3, 2_000_000):
        url = await client.made()
        headers = {"Upload-Checksum": digest("md5", b"no"), "Upload-Length": str(size)}
        assert (await client.patch(url, 0, noise(size), headers)).status == 460
        assert "Upload-Length" not in (await client.head(url)).headers


@EACH_STACK
async def test_k7_a_mismatch_on_creation_creates_nothing(fresh: Start) -> None:
    """K7: creation with upload is checked too; a mismatch is 460 and nothing is created."""
    server = fresh()
    async with Client(server.urls) as client:
        for data in (noise(10), noise(3_000_000)):
            wrong = {"Upload-Length": str(len(data)), **OCTETS, "Upload-Checksum": digest("sha1", b"")}
            answer = await client.ask("POST", headers=wrong, body=data)
            assert (answer.status, server.rows(), server.objects()) == (460, 0, {})
        right = {**wrong, "Upload-Checksum": digest("sha1", data)}
        assert (await client.ask("POST", headers=right, body=data)).status == 201
