"""Requests that clients in the field send."""

import asyncio
from collections.abc import AsyncIterator

from tests.conformance.client import OCTETS, Client, encoded, noise, patch_head, path_of


async def stream(data: bytes, size: int) -> AsyncIterator[bytes]:
    """Send a body chunked."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_bodies_of_500_kib(client: Client) -> None:
    """TUSKit sends PATCHes of 500 KiB."""
    data = noise(3 * 512_000 + 7)
    url = await client.made(len(data))
    for start in range(0, len(data), 512_000):
        assert (await client.patch(url, start, data[start : start + 512_000])).status == 204
    assert await client.content(url) == data


async def test_ten_mebibytes_chunked_by_override(client: Client) -> None:
    """The Java client sends 10 MiB chunked, as POST with an override."""
    data = noise(10 * 1024 * 1024)
    url = await client.made(len(data))
    headers = {**OCTETS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = await client.ask("POST", url, headers, stream(data, 65_536))
    assert (answer.status, answer.offset) == (204, len(data))
    assert await client.content(url) == data


async def test_fifty_million_bytes(client: Client) -> None:
    """Companion sends 50,000,000 bytes at once."""
    data = noise(50_000_000)
    url = await client.made(len(data))
    assert (await client.patch(url, 0, data)).offset == len(data)
    assert await client.content(url) == data


async def test_twenty_uploads_at_once(client: Client) -> None:
    """Twenty uploads at the same time, each with metadata of a whole form."""
    fields = {"filename": "ü.bin", "filetype": "x/y", "caption": "", "relativePath": "null", "userId": "42"}
    metadata = ",".join(f"{key} {encoded(value)}".strip() for key, value in fields.items())

    async def one(seed: int) -> bool:
        data = noise(700_000, seed)
        url = await client.made(len(data), Upload_Metadata=metadata)
        await client.patch(url, 0, data[:300_000])
        await client.patch(url, 300_000, data[300_000:])
        return await client.content(url) == data

    assert all(await asyncio.gather(*map(one, range(20))))


async def test_a_creation_with_a_chunked_body_of_no_bytes(client: Client) -> None:
    """A creation whose chunked body turns out empty is a creation without bytes."""
    answer = await client.ask("POST", headers={"Upload-Length": "5", **OCTETS}, body=stream(b"", 1))
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "0")


async def test_picking_a_finished_file_again(client: Client) -> None:
    """HEAD of a finished file says offset = length, and the client is done at once."""
    head = await client.head(await client.whole(b"again"))
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == "5"


async def test_a_pause_is_a_cut_and_its_resume_follows_at_once(client: Client) -> None:
    """A cut connection and a HEAD within milliseconds: what had arrived counts, and the PATCH that follows is right."""
    data = noise(5_000_000)
    url = await client.made(len(data))
    offset = 0
    while offset < len(data):
        async with client.raw() as raw:
            step = data[offset : offset + 700_000]
            await raw.send(patch_head(path_of(url), offset, len(data) - offset) + step)
            await asyncio.sleep(0.02)
            raw.reset()
        reached = (await client.head(url)).offset
        assert offset <= reached <= offset + len(step)
        offset = reached
    assert await client.content(url) == data
