"""Where one request ends and the next begins: no shape of a request hides another one."""

import asyncio
import re

import pytest

from tests.conformance.client import OCTETS, VERSION, Client, patch_head, path_of, request
from tests.servers import ServerProcess

HEAD = "Host: x\r\nTus-Resumable: 1.0.0\r\n"
POST = f"POST /files/ HTTP/1.1\r\n{HEAD}Upload-Length: 5\r\nContent-Type: application/offset+octet-stream\r\n"
HIDDEN = f"DELETE /files/ HTTP/1.1\r\n{HEAD}\r\n"
REFUSED = {
    "h2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "two lengths": f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello{HIDDEN}",
    "the same length twice": f"{POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}",
    "a list of lengths": f"{POST}Content-Length: 5, 5\r\n\r\nhello{HIDDEN}",
    "a length with a sign": f"{POST}Content-Length: +5\r\n\r\nhello{HIDDEN}",
    "a hexadecimal length": f"{POST}Content-Length: 0x5\r\n\r\nhello{HIDDEN}",
    "a length of 30 digits": f"{POST}Content-Length: {10**29}\r\n\r\nhello{HIDDEN}",
    "length and chunked": f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked twice": f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked is not the last": f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "nearly chunked": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked behind a tabulator": f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunked in HTTP/1.0": f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}".replace("HTTP/1.1", "HTTP/1.0", 1),
    "a blank before the colon": f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a folded line": f"{POST}X-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "bare LF": f"{POST}Content-Length: 0\r\n\r\n{HIDDEN}".replace("\r\n", "\n"),
    "a bare LF within": f"{POST}Content-Length: 0\nX: y\r\n\r\n{HIDDEN}",
    "a bare CR within": f"{POST}X: a\rb\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a NUL in a value": f"{POST}X: a\0b\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "two hosts": f"{POST}Host: y\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "no host": f"{POST}Content-Length: 0\r\n\r\n{HIDDEN}".replace("Host: x\r\n", "", 1),
    "a target without a path": f"GET example.com:443 HTTP/1.1\r\n{HEAD}\r\n{HIDDEN}",
    "a target with a broken host": f"GET http://[::1/files/ HTTP/1.1\r\n{HEAD}\r\n{HIDDEN}",
    "a target with a broken port": f"GET http://x:99999999/files/ HTTP/1.1\r\n{HEAD}\r\n{HIDDEN}",
    "another version of HTTP": f"{POST}Content-Length: 0\r\n\r\n{HIDDEN}".replace("HTTP/1.1", "HTTP/1.2", 1),
}
CHUNKS = {
    "a hexadecimal prefix": "0x5\r\nhello\r\n0\r\n\r\n",
    "a negative size": "-5\r\nhello\r\n0\r\n\r\n",
    "a size that overflows": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "more than its size": "5\r\nhelloX0\r\n\r\n",
    "bare LF": "5\nhello\n0\n\n",
    "a bare LF in an extension": "5;a\nhello\r\n0\r\n\r\n",
    "too many trailers": "5\r\nhello\r\n0\r\n" + "A: b\r\n" * 5000 + "\r\n",
    "a long trailer": f"5\r\nhello\r\n0\r\nA: {'b' * 100_000}\r\n\r\n",
}


async def answers(client: Client, text: str, seconds: float = 60) -> list[int]:
    """Send, and read the statuses of all answers until the connection is closed."""
    async with client.raw() as raw:
        said = b""
        try:
            await raw.send(text)
            async with asyncio.timeout(seconds):
                while data := await raw.reader.read(65536):
                    said += data
        except ConnectionError:
            pass
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", said)]


@pytest.mark.parametrize("shape", REFUSED)
async def test_a_head_that_may_be_read_in_two_ways_is_refused(client: Client, shape: str) -> None:
    """One 400 and a closed connection; what follows is never read as a request."""
    assert await answers(client, REFUSED[shape]) in ([400], [])


@pytest.mark.parametrize("shape", CHUNKS)
async def test_chunks_that_break_the_grammar_end_the_connection(client: Client, shape: str) -> None:
    """Nothing behind a broken chunk is read as a request, and no byte counts that was not in a good one."""
    url = await client.made(100)
    head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked").decode()
    assert set(await answers(client, head + CHUNKS[shape] + HIDDEN)) <= {400, 408}
    assert (await client.head(url)).offset in {0, 5}


@pytest.mark.parametrize("size", ["ffffffffffffffff", "7fffffffffffffff"])
async def test_a_chunk_of_any_size_may_begin(client: Client, size: str) -> None:
    """What comes of a chunk that is too large to be true is kept, and its connection ends when nothing more comes."""
    url = await client.made(100)
    head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked").decode()
    assert await answers(client, f"{head}{size}\r\nhello") == []
    assert (await client.head(url)).offset == 5


@pytest.mark.parametrize("extension", [";a=b", ';a="b;c"', ";" + "a" * 10_000], ids=["plain", "quoted", "long"])
async def test_chunk_extensions_mean_nothing(client: Client, extension: str) -> None:
    """They are read over."""
    url = await client.made(5)
    head = patch_head(path_of(url), 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked").decode()
    assert await answers(client, f"{head}5{extension}\r\nhello\r\n0\r\n\r\n") == [204]
    assert await client.content(url) == b"hello"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_body_is_no_request_where_none_is_expected(client: Client, method: str) -> None:
    """A request in the body of one that needs no body is never answered."""
    path = path_of(await client.whole(b"hello"))
    async with client.raw() as raw:
        await raw.send(f"{method} {path} HTTP/1.1\r\n{HEAD}Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}")
        assert (await raw.answer(empty=method == "HEAD")).status in {200, 204}
        await raw.send(request("OPTIONS", "/files/", VERSION))
        assert b"HTTP/1.1 405 " not in await asyncio.wait_for(raw.reader.read(65536), 60)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_an_upgrade_is_not_taken(client: Client, protocol: str) -> None:
    """Some clients offer HTTP/2 with their first request: it is answered in HTTP/1.1, with its body, and so is the next."""
    url = await client.made(10)
    offer = {"Connection": "Upgrade", "Upgrade": protocol}
    async with client.raw() as raw:
        await raw.send(request("HEAD", path_of(url), {**VERSION, **offer}))
        assert (await raw.answer(empty=True)).offset == 0
        await raw.send(patch_head(path_of(url), 0, 5, **offer) + b"hello")
        assert (await raw.answer()).offset == 5
        await raw.send(patch_head(path_of(url), 5, 5) + b"world")
        assert (await raw.answer()).offset == 10


async def test_a_target_with_another_host_is_read_for_its_path_only(client: Client) -> None:
    """An absolute target leads to this server's upload, and to no other machine; it does not get into the Location."""
    path = path_of(await client.whole(b"hello"))
    async with client.raw() as raw:
        await raw.send(f"HEAD http://evil.example{path} HTTP/1.1\r\n{HEAD}\r\n")
        assert (await raw.answer(empty=True)).offset == 5
        await raw.send(f"POST http://evil.example/files/ HTTP/1.1\r\n{HEAD}Upload-Length: 3\r\n\r\n")
        assert (await raw.answer()).location.startswith("http://x/files/")


@pytest.mark.parametrize(
    "target", ["*", "//evil.example/files", "/files/%00", "/files/%zz", "/files/%ff", "/files/../../etc/passwd", "/files%2f"]
)
async def test_targets_that_lead_nowhere(client: Client, target: str) -> None:
    """404, or 400."""
    assert set(await answers(client, f"GET {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n")) <= {400, 404}


async def test_numbers_at_the_edge(client: Client) -> None:
    """Offsets, lengths and sums that leave 63 bits are 413, and not an error of the server's."""
    most = 2**63 - 1
    partial = path_of(await client.made(most, Upload_Concat="partial"))
    final = await client.ask("POST", headers={"Upload-Concat": f"final;{partial} {partial}"})
    assert (final.status, final.body) == (413, f"An upload may have {most} bytes at most.\n".encode())
    url = path_of(await client.made())
    for offset, size in ((10, most), (most, 1), (0, 2**64 - 1), (most, most)):
        async with client.raw() as raw:
            await raw.send(patch_head(url, offset, size))
            assert (await raw.answer()).status == 413
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize("what", ["a creation of another type", "a final", "a PATCH of a finished upload"])
async def test_a_body_that_never_comes_is_given_up(client: Client, what: str) -> None:
    """Where only the beginning of a chunked body matters it is not waited for longer than for any other."""
    path = path_of(await client.whole(b"hello"))
    chunked = {**VERSION, "Transfer-Encoding": "chunked"}
    head = {
        "a creation of another type": request(
            "POST", "/files/", {**chunked, "Upload-Length": 5, "Content-Type": "text/plain"}
        ),
        "a final": request("POST", "/files/", {**chunked, "Upload-Concat": f"final;{path}"}),
        "a PATCH of a finished upload": request("PATCH", path, {**chunked, **OCTETS, "Upload-Offset": 5}),
    }[what]
    async with client.raw() as raw:
        await raw.send(head)
        assert await raw.closed()


async def test_heads_take_little_memory(client: Client, server: ServerProcess) -> None:
    """Fifty heads of a hundred long lines each, none of them whole, end before they hold what they could."""
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 32_000) for number in range(100))
    before = resident(server)
    raws = [client.raw() for _ in range(50)]
    for raw in raws:
        await raw.__aenter__()
        raw.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + lines)
    for raw in raws:
        assert await raw.closed(30)
        raw.writer.transport.abort()
    assert resident(server) < before + 60 * 1024 * 1024


async def test_requests_that_nobody_waits_for_take_little_memory(client: Client, server: ServerProcess) -> None:
    """Somebody who sends requests without reading an answer is left unread in the end."""
    before = resident(server)
    async with client.raw() as raw:
        raw.writer.write(request("OPTIONS", "/files/", VERSION) * 200_000)
        while True:
            left = raw.writer.transport.get_write_buffer_size()
            await asyncio.sleep(1)
            if raw.writer.transport.get_write_buffer_size() == left:
                break
        assert left > 0
        assert resident(server) < before + 60 * 1024 * 1024
        assert (await client.ask("OPTIONS")).status == 204
        raw.writer.transport.abort()


def resident(server: ServerProcess) -> int:
    """Bytes of memory that a server has."""
    assert server.process is not None
    with open(f"/proc/{server.process.pid}/statm") as told:  # noqa: PTH123  no file of ours
        return int(told.read().split()[1]) * 4096
