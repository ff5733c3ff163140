"""CR, W, D: creation, with bytes and with a length that comes later."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import OCTETS, VERSION, Client, encoded, noise, patch_head, path_of, request
from tests.conformance.conftest import EACH_STACK
from tests.deployments import Start

BAD_METADATA = [
    "filename not-base64!",
    "filename YQ",
    "filename YQ=",
    "a YQ==,a YQ==",
    ",",
    "a YQ==,,b YQ==",
    "k\u00e4y YQ==",
    "a  YQ==",
    "a YQ== extra",
    "filename Y Q==",
    "a YQ==,",
    "x" * 17_000,
]


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """Stream a body."""
    for part in parts:
        yield part


async def test_cr2_a_creation_is_201_with_location_and_offset(client: Client) -> None:
    """CR2: 201 bears Location, Upload-Offset 0 and Upload-Expires."""
    answer = await client.create(5)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "0")
    assert answer.headers["Upload-Expires"].endswith(" GMT")
    assert (await client.head(answer.location)).status == 200


@pytest.mark.parametrize("headers", [{}, {"Upload-Length": "1", "Upload-Defer-Length": "1"}])
async def test_cr3_neither_or_both_lengths_are_400(client: Client, headers: dict[str, str]) -> None:
    """CR3: a creation says its length or defers it, not both and not neither."""
    assert (await client.ask("POST", headers=headers)).status == 400


@pytest.mark.parametrize("value", ["0", "2", "true", "", "01", "1,1"])
async def test_d1_deferral_is_only_ever_1(client: Client, value: str) -> None:
    """D1: Upload-Defer-Length can only be 1."""
    async with client.raw() as raw:
        await raw.send(request("POST", "/files/", {**VERSION, "Upload-Defer-Length": value, "Content-Length": 0}))
        assert (await raw.answer()).status == 400


@EACH_STACK
async def test_cr3_over_the_maximum_is_413(fresh: Start) -> None:
    """CR3: a length over TUSFM_MAX_SIZE is refused, the maximum itself is not, and nothing is created."""
    server = fresh(TUSFM_MAX_SIZE="1000")
    async with Client(server.urls) as client:
        assert (await client.create(1001)).status == 413
        assert server.rows() == 0
        assert (await client.create(1000)).status == 201


async def test_cr5_a_length_of_0_is_complete_at_once(client: Client) -> None:
    """CR5: an empty upload is a finished, empty file."""
    answer = await client.create(0)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "0")
    assert "Upload-Expires" not in answer.headers
    assert await client.content(answer.location) == b""


@pytest.mark.parametrize("metadata", BAD_METADATA)
async def test_cr6_malformed_metadata_is_400_and_nothing_is_created(client: Client, metadata: str) -> None:
    """CR6 to CR8: pairs of a key and padded base64, unique keys, 16 KiB at most."""
    async with client.raw() as raw:
        headers = {**VERSION, "Upload-Length": 1, "Content-Length": 0}
        head = request("POST", "/files/", headers).replace(b"\r\n\r\n", b"\r\nUpload-Metadata: ")
        await raw.send(head + metadata.encode("utf-8") + b"\r\n\r\n")
        answer = await raw.answer()
    assert (answer.status, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "metadata", ["", "a", f"a {encoded('1')} ,  b", "a ", f"k {encoded('x' * 12_000)}", "!#$%&'*+-.^_`|~ YQ=="]
)
async def test_cr6_what_the_grammar_allows_is_taken(client: Client, metadata: str) -> None:
    """CR7: a value may be missing, blanks around a comma are forgiven, 16 KiB fit, an empty header is no metadata."""
    assert (await client.create(1, headers={"Upload-Metadata": metadata})).status == 201


@pytest.mark.parametrize("size", [0, 1, 16_384, 1_048_576, 3_000_000])
async def test_w2_a_body_that_comes_along_is_taken(client: Client, size: int) -> None:
    """W2: creation with upload is 201 with the offset that the body reached."""
    data = noise(size)
    answer = await client.create(size, data)
    assert (answer.status, answer.offset) == (201, size)
    assert await client.content(answer.location) == data


async def test_w2_a_body_may_be_the_beginning_only(client: Client) -> None:
    """W2: the rest comes by PATCH."""
    answer = await client.create(8, b"abc")
    assert (answer.offset, "Upload-Expires" in answer.headers) == (3, True)
    assert (await client.patch(answer.location, 3, b"defgh")).status == 204
    assert await client.content(answer.location) == b"abcdefgh"


@pytest.mark.parametrize("parts", [(b"abc",), (noise(2_000_000), b"x" * 500_000)])
async def test_w2_a_chunked_body_may_come_along(client: Client, parts: tuple[bytes, ...]) -> None:
    """W2: with Transfer-Encoding: chunked as well."""
    size = sum(map(len, parts))
    answer = await client.ask("POST", headers={"Upload-Length": str(size), **OCTETS}, body=chunks(*parts))
    assert (answer.status, answer.offset) == (201, size)
    assert await client.content(answer.location) == b"".join(parts)


@EACH_STACK
async def test_w3_another_type_with_a_body_is_415_and_nothing_is_created(fresh: Start) -> None:
    """W3: bytes of another type are refused; without bytes the type means nothing."""
    server = fresh()
    async with Client(server.urls) as client:
        refused = await client.ask("POST", headers={"Upload-Length": "3", "Content-Type": "text/plain"}, body=b"abc")
        chunked = await client.ask("POST", headers={"Upload-Length": "3", "Content-Type": "x/y"}, body=chunks(b"abc"))
        assert (refused.status, chunked.status, server.rows()) == (415, 415, 0)
        empty = await client.ask("POST", headers={"Upload-Length": "3", "Content-Type": "text/plain"}, body=b"")
        chunked = await client.ask("POST", headers={"Upload-Length": "3", "Content-Type": "x/y"}, body=chunks())
        assert (empty.status, chunked.status) == (201, 201)


@EACH_STACK
async def test_w4_a_body_over_the_length_is_413_and_nothing_is_created(fresh: Start) -> None:
    """W4: nothing is created, and nothing is stored, of small and large bodies, chunked or not."""
    server = fresh()
    async with Client(server.urls) as client:
        for data in (noise(4), noise(3_000_000)):
            for body in (data, chunks(data)):
                answer = await client.ask("POST", headers={"Upload-Length": str(len(data) - 1), **OCTETS}, body=body)
                assert (answer.status, server.rows(), server.objects()) == (413, 0, {})


@EACH_STACK
async def test_w6_a_creation_that_breaks_off_leaves_an_upload(fresh: Start) -> None:
    """W6: the upload exists, and what arrived is kept."""
    server = fresh()
    async with Client(server.urls) as client, client.raw() as raw:
        head = patch_head("/files/", 0, 100).replace(b"PATCH", b"POST").replace(b"Upload-Offset: 0", b"Upload-Length: 100")
        await raw.send(head + b"x" * 30)
        async with asyncio.timeout(60):
            while not server.rows():
                await asyncio.sleep(0.1)
            raw.reset()
            while sum(server.objects().values()) < 30:
                await asyncio.sleep(0.1)
    assert (server.rows(), sum(server.objects().values())) == (1, 30)


async def test_d2_a_later_patch_brings_the_length(client: Client) -> None:
    """D2: the length that was deferred comes with a PATCH, and HEAD then says it."""
    url = await client.made()
    await client.patch(url, 0, b"abc")
    answer = await client.patch(url, 3, b"de", {"Upload-Length": "9"})
    assert (answer.status, answer.offset) == (204, 5)
    assert (await client.head(url)).headers["Upload-Length"] == "9"
    assert (await client.patch(url, 5, b"fghi")).status == 204
    assert await client.content(url) == b"abcdefghi"


@pytest.mark.parametrize("data", [b"abc", noise(2_000_000)])
async def test_d3_the_last_patch_may_bring_it(client: Client, data: bytes) -> None:
    """D3: a PATCH may bring the length that it reaches itself."""
    url = await client.made()
    assert (await client.patch(url, 0, data, {"Upload-Length": str(len(data))})).status == 204
    assert await client.content(url) == data


@pytest.mark.parametrize("data", [b"", b"abc", noise(2_000_000)])
async def test_d3_an_empty_last_patch_may_bring_it(client: Client, data: bytes) -> None:
    """D3: an empty PATCH whose length is the offset ends the upload."""
    url = await client.made()
    if data:
        await client.patch(url, 0, data)
    answer = await client.patch(url, len(data), b"", {"Upload-Length": str(len(data))})
    assert (answer.status, answer.offset) == (204, len(data))
    assert await client.content(url) == data


async def test_d4_the_length_is_set_once(client: Client) -> None:
    """D4: the same length again is fine, another is 400, and so is one below the offset; nothing changes."""
    url = await client.made()
    await client.patch(url, 0, b"abc")
    assert (await client.patch(url, 3, b"", {"Upload-Length": "2"})).status == 400
    assert (await client.patch(url, 3, b"", {"Upload-Length": "9"})).status == 204
    assert (await client.patch(url, 3, b"d", {"Upload-Length": "9"})).status == 204
    assert (await client.patch(url, 4, b"e", {"Upload-Length": "8"})).status == 400
    assert (await client.patch(url, 4, noise(2_000_000), {"Upload-Length": "8"})).status == 400
    answer = await client.head(url)
    assert (answer.offset, answer.headers["Upload-Length"]) == (4, "9")


async def test_d5_the_maximum_holds_for_deferred_uploads(fresh: Start) -> None:
    """D5: a length over the maximum is 413, and so are bytes beyond it, chunked or not."""
    async with Client(fresh(TUSFM_MAX_SIZE="1000").urls) as client:
        url = await client.made()
        assert (await client.patch(url, 0, b"", {"Upload-Length": "1001"})).status == 413
        assert (await client.patch(url, 0, b"x" * 1001)).status == 413
        assert (await client.patch(url, 0, b"x" * 600)).status == 204
        assert (await client.patch(url, 600, b"x" * 401)).status == 413
        assert (await client.patch(url, 600, chunks(b"x" * 300, b"x" * 101))).status == 413
        offset = (await client.head(url)).offset
        assert 600 <= offset <= 1000
        assert (await client.patch(url, offset, b"x" * (1000 - offset), {"Upload-Length": "1000"})).status == 204
        assert await client.content(url) == b"x" * 1000


async def test_ids_are_not_guessable(client: Client) -> None:
    """An upload's URL ends in 128 random bits, of which no two are alike."""
    ids = {path_of(await client.made(1)).rpartition("/")[2] for _ in range(50)}
    assert (len(ids), {len(one) for one in ids}) == (50, {32})
