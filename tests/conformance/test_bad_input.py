"""Bad input gets a clear 4xx with our headers, or a closed connection; nothing is stored, no traceback is written."""

import asyncio
import os

import pytest

from tests.conformance.client import OCTETS, VERSION, Client, patch_head, path_of, request
from tests.deployments import Deployment

HEAD = "Host: x\r\nTus-Resumable: 1.0.0\r\n"
LARGE = 1_000_000  # bytes of a body that goes past the parser, for the most part
UNPARSABLE = [
    "GET / HTTP/1.1\r\nHost: x\r\nBroken\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
    "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "NONSENSE\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Length: 1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Length: 1\r\nContent-Length: -1\r\n\r\n",
    f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Length: 1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n",
    f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Metadata: a\x00b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{n}: y\r\n" for n in range(10_000)) + "\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nX: " + "y" * 1_048_576 + "\r\n\r\n",
    "GET /" + "y" * 100_000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("text", UNPARSABLE, ids=range(len(UNPARSABLE)))
async def test_what_the_parser_refuses_is_answered_in_our_words(client: Client, server: Deployment, text: str) -> None:
    """Also where aiohttp answers before any handler: one sentence that quotes nothing, our headers, a closed connection."""
    async with client.raw() as raw:
        try:
            await raw.send(text)
            answer = await raw.answer()
        except ConnectionError:
            return
        assert answer.reason is not None
        assert answer.reason.startswith("HTTP/1.1 400 ")
        assert (answer.headers["Tus-Resumable"], answer.headers["Connection"]) == ("1.0.0", "close")
        assert answer.body == b"The request could not be read as HTTP.\n"
        assert await raw.closed()
    assert (await client.ask("OPTIONS")).status == 204


@pytest.mark.parametrize(
    ("chunk", "kept"), [("xyz\r\n", 2), ("-5\r\nabc", 2), ("F" * 18 + "\r\n", 2), ("3\r\nabcdef\r\n", 5), ("\r\n", 2)]
)
async def test_bad_chunks_keep_what_was_right(client: Client, chunk: str, kept: int) -> None:
    """A chunked body that breaks its framing ends the connection; the bytes before it count, and no others."""
    url = await client.made(100)
    async with client.raw() as raw:
        head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        await raw.send(head + b"2\r\nok\r\n")
        await raw.taken()
        await raw.send(chunk)
        assert await raw.closed()
    assert await client.offset_after(url, kept) == kept


@pytest.mark.parametrize("size", [20, LARGE])
async def test_a_shorter_body_than_announced_is_kept(client: Client, size: int) -> None:
    """A body that ends before its Content-Length is a broken one: its bytes count."""
    url = await client.made(3 * size)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 2 * size) + b"x" * size)
        raw.writer.write_eof()
        await raw.closed()
    assert await client.offset_after(url, size) == size


@pytest.mark.parametrize("answered", [False, True])
async def test_a_longer_body_than_announced_is_another_request(client: Client, answered: bool) -> None:  # noqa: FBT001
    """Bytes behind the Content-Length are never the body's: they are the next request, and no good one."""
    url = await client.made(100)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 5) + b"hello" * answered)
        if answered:
            assert (await raw.answer()).offset == 5
        await raw.send(b"hello" * (not answered) + b"GARBAGE\r\n\r\n")
        status = (await raw.answer()).status
        assert await raw.closed()
    assert (status, (await client.head(url)).offset) in {(204, 5), (400, 5), (400, 0)}


@pytest.mark.parametrize("size", [5, LARGE])
async def test_pipelined_requests_are_answered_in_order(client: Client, size: int) -> None:
    """Two PATCHes and a HEAD on one connection, sent at once, are done one after another."""
    url = path_of(await client.made(2 * size))
    first, second = os.urandom(size), os.urandom(size)
    async with client.raw() as raw:
        head = request("HEAD", url, VERSION)
        await raw.send(patch_head(url, 0, size) + first + patch_head(url, size, size) + second + head)
        assert [(await raw.answer()).offset for _ in range(3)] == [size, 2 * size, 2 * size]
    assert await client.content(url) == first + second


async def test_a_sender_that_closes_its_side_first_is_answered(client: Client) -> None:
    """FIN behind requests that have come whole is no disconnect: each is answered, then the connection closes."""
    url = path_of(await client.made(10))
    head = request("HEAD", url, VERSION)
    for sent, offsets in (
        (head, [0]),
        (patch_head(url, 0, 5) + b"hello", [5]),
        (patch_head(url, 5, 5) + b"world" + head, [10, 10]),
    ):
        async with client.raw() as raw:
            await raw.send(sent)
            raw.writer.write_eof()
            assert [(await raw.answer()).offset for _ in offsets] == offsets
            assert await raw.closed()


async def test_a_gzip_body_is_taken_as_it_is(client: Client) -> None:
    """Content-Encoding means nothing: offsets count the bytes that were sent, and nothing is inflated."""
    import gzip  # noqa: PLC0415

    data = gzip.compress(b"a" * 100_000)
    url = await client.made(len(data))
    assert (await client.patch(url, 0, data, {"Content-Encoding": "gzip"})).offset == len(data)
    assert await client.content(url) == data


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked;q=1, chunked", "identity, chunked"])
async def test_a_transfer_coding_that_is_not_understood(client: Client, server: Deployment, coding: str) -> None:
    """It is 501, and not bytes that nobody meant; nothing is made of them, and the connection ends."""
    url = await client.made(100)
    rows = server.rows()
    create = {**VERSION, **OCTETS, "Upload-Length": 5, "Transfer-Encoding": coding}
    append = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", f"Transfer-Encoding: {coding}".encode())
    for head in (append, request("POST", "/files/", create), request("POST", "/api/v1/file/upload/init", create)):
        async with client.raw() as raw:
            await raw.send(head + b"5\r\nhello\r\n0\r\n\r\n")
            answer = await raw.answer()
            assert (answer.status, answer.headers["Connection"]) == (501, "close")
            assert b"No transfer coding but chunked is understood" in answer.body
            assert await raw.closed()
    assert ((await client.head(url)).offset, server.rows()) == (0, rows)


async def test_trailers_are_not_the_next_request(client: Client) -> None:
    """A chunked body may bring trailers; the connection ends behind them."""
    url = await client.made(3)
    async with client.raw() as raw:
        head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        await raw.send(head + b"3\r\nabc\r\n0\r\nUpload-Offset: 99\r\n\r\nGET /files/ HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.headers["Connection"]) == (204, "close")
        assert b"HTTP/1.1" not in await raw.reader.read()


async def test_many_idle_connections_refuse_nobody(client: Client) -> None:
    """Five hundred connections that say nothing cost nobody an answer."""
    opened = [await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2])) for _ in range(500)]
    try:
        assert (await client.ask("POST", headers={"Upload-Length": "1"})).status == 201
    finally:
        for _, writer in opened:
            writer.close()


async def test_a_body_on_verbs_that_take_none(client: Client) -> None:
    """Bytes with HEAD, DELETE and OPTIONS mean nothing."""
    url = await client.made(3)
    for method, status in (("OPTIONS", 204), ("HEAD", 200), ("DELETE", 204)):
        assert (await client.ask(method, url, OCTETS, b"abc")).status == status
