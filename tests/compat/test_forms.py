"""Forms as clients send them, and as nobody should: in any order, cut anywhere, broken, endless."""

import asyncio
import http.client
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compat.client import (
    BOUNDARY,
    BROKEN,
    CHUNK,
    COMPLETE,
    INIT,
    NEVER,
    NOT_BEGUN,
    RETRY,
    Client,
    Parts,
    form,
    refusal,
)
from tests.conformance.client import Raw, noise, request
from tests.deployments import Deployment, Start

KIND = f"multipart/form-data; boundary={BOUNDARY}"
PAIRS = "application/x-www-form-urlencoded"
MIB = 1024 * 1024
LIMIT = 10 * MIB
TOO_LARGE = "[body->file] file sile is larger than valid chunk size"


def of_chunk(upload_id: str, data: bytes, index: int = 0) -> list[tuple[str, str | bytes]]:
    """Write a chunk's fields."""
    return [("file", data), ("upload_id", upload_id), ("chunk_index", str(index)), ("chunk_size", str(len(data)))]


def part(head: str, body: str = "x") -> bytes:
    """Write a form of one part."""
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n{body}\r\n--{BOUNDARY}--\r\n".encode("latin-1")


FILE_HEAD = 'Content-Disposition: form-data; name="file"; filename="x"'
WHOLE = form(of_chunk(NEVER, b"abc"))
HOSTILE = {
    "no boundary in the type": ("multipart/form-data", WHOLE),
    "another boundary": (f"{KIND}x", WHOLE),
    "no end": (KIND, WHOLE[:-8]),
    "an end in the file": (KIND, WHOLE[: WHOLE.index(b"abc") + 1]),
    "no form at all": (KIND, b'{"a": 1}'),
    "a part without a head": (KIND, part("", "")),
    "a part without a name": (KIND, part("Content-Type: text/plain")),
    "another disposition": (KIND, part('Content-Disposition: attachment; name="file"')),
    "a head that is none": (KIND, part("Content-Disposition")),
    "a head of 100 KB": (KIND, part(f"{FILE_HEAD}; x={'y' * 100_000}")),
    "a head that never ends": (KIND, f"--{BOUNDARY}\r\n".encode() + b"x" * 100_000),
    "a thousand heads": (KIND, part("\r\n".join([FILE_HEAD, *(f"X-{n}: y" for n in range(1000))]))),
    "a form in a form": (KIND, part(f"{FILE_HEAD}\r\nContent-Type: multipart/mixed; boundary=x", "--x\r\n\r\ny\r\n--x--")),
    "base64": (KIND, part(f"{FILE_HEAD}\r\nContent-Transfer-Encoding: base64", "YWJj")),
    "quoted": (KIND, part(f"{FILE_HEAD}\r\nContent-Transfer-Encoding: quoted-printable", "=41")),
    "a part shorter than it says": (KIND, part(f"{FILE_HEAD}\r\nContent-Length: 5", "abc")),
    "a part longer than it says": (KIND, part(f"{FILE_HEAD}\r\nContent-Length: 1", "abc")),
    "broken UTF-8": (KIND, part('Content-Disposition: form-data; name="upload_id"', "\xff\xfe")),
    "half a character": (KIND, part('Content-Disposition: form-data; name="upload_id"', "\xc3")),
    "many fields": (KIND, form([("x", "y")] * 101)),
    "twenty thousand fields": (KIND, form([("x", "")] * 20_000)),
    "bare line feeds": (KIND, WHOLE.replace(b"\r\n", b"\n")),
    "a text of 2 MiB": (KIND, form([("credential", "x" * 2 * MIB)])),
    "many pairs": (PAIRS, b"&".join([b"x=y"] * 101)),
    "pairs of 2 MiB": (PAIRS, b"x=" + b"y" * 2 * MIB),
    "pairs of broken UTF-8": (PAIRS, b"upload_id=%ff"),
    "pairs of broken bytes": (PAIRS, b"upload_id=\xff"),
}


ELSEWHERE = ("no boundary in the type", "no end", "broken UTF-8", "many pairs")


@pytest.mark.parametrize(
    ("path", "what"), [*((CHUNK, what) for what in HOSTILE), *itertools.product((COMPLETE, RETRY), ELSEWHERE)]
)
async def test_a_broken_form(client: Client, server: Deployment, path: str, what: str) -> None:
    """It is 400 in the envelope at each endpoint that reads forms, and nothing is stored."""
    kind, body = HOSTILE[what]
    before = server.objects()
    answer = await client.ask("POST", path, body, {"Content-Type": kind})
    assert (answer.status, answer.body) == (400, refusal(BROKEN))
    assert answer.headers["Content-Type"] == "application/json"
    assert server.objects().items() <= before.items()  # what earlier tests left may go meanwhile


def endless(what: str) -> Iterator[bytes]:
    """Write what has no end."""
    opened = f"--{BOUNDARY}\r\n".encode()
    if what == "text":
        yield opened + b'Content-Disposition: form-data; name="upload_id"\r\n\r\n'
    if what == "head":
        yield opened + b"X: "
    yield from itertools.repeat(b"y" * 65536)


@pytest.mark.parametrize("what", ["preamble", "text", "head", "pairs"])
async def test_a_form_without_an_end(client: Client, what: str) -> None:
    """A boundary that never comes, a field or a head that never ends: refused after a megabyte, and the sender reads why."""
    kind = PAIRS if what == "pairs" else KIND
    sent = 0
    async with raw(client) as connection:
        await connection.send(request("POST", CHUNK, {"Content-Type": kind, "Content-Length": 10**12}))
        answering = asyncio.create_task(connection.answer(60))
        for piece in endless(what):
            if answering.done():
                break
            await connection.send(piece)
            sent += len(piece)
            await asyncio.sleep(0)
        answer = await answering
        assert (answer.status, answer.body, answer.headers["Connection"]) == (400, refusal(BROKEN), "close")
    assert sent < 32 * MIB


async def test_a_file_is_refused_as_it_passes_the_limit(client: Client, server: Deployment) -> None:
    """The answer comes at the first byte too many, though the sender has announced more; nothing stays."""
    upload_id = await client.begun()
    before = server.objects()
    whole = form(of_chunk(upload_id, bytes(100)))
    start = whole.index(bytes(100))
    async with raw(client) as connection:
        await connection.send(request("POST", CHUNK, {"Content-Type": KIND, "Content-Length": 100 * MIB}))
        await connection.send(whole[:start] + bytes(LIMIT))
        await asyncio.sleep(0.1)
        await connection.send(b"x" * 100)
        answer = await connection.answer(60)
        assert (answer.status, answer.body, answer.headers["Connection"]) == (422, refusal("", TOO_LARGE), "close")
        assert await connection.closed()
    assert server.objects().items() <= before.items()


async def test_what_was_not_read_is_not_missing(client: Client) -> None:
    """Of a file that is far too long, what came before it is told too, and nothing of what may come behind it."""
    parts: Parts = [("chunk_index", "x"), ("file", bytes(LIMIT + 2 * MIB)), ("chunk_size", "x")]
    answer = await client.post(CHUNK, parts)
    index = "[body->chunk_index] input should be a valid integer, unable to parse string as an integer"
    assert (answer.status, answer.body) == (422, refusal("", index, TOO_LARGE))


async def test_a_sender_of_a_large_file_reads_its_refusal(client: Client) -> None:
    """A client that sends all of 30 MiB before it reads gets the answer, not a broken connection."""
    parts = of_chunk(await client.begun(), bytes(30 * MIB))
    answer = await client.post(CHUNK, parts)
    assert (answer.status, answer.body) == (422, refusal("", TOO_LARGE))


FORMS_OF_A_FILE = [
    b'Content-Disposition: form-data; name="file"; filename="a;b\\".bin"\r\nContent-Type: image/png',
    b'Content-Disposition: form-data; filename="; name=x"; name="file"',
    b'content-disposition: Form-Data; name="file"; filename="\xff\xe4.bin"\r\ncontent-transfer-encoding: Binary',
    b"Content-Disposition: form-data; name=file; filename=blob\r\nContent-Length: 3",
    b"Content-Disposition: form-data; name=\"file\"; filename*=utf-8''na%C3%AFve.bin",
    b'Content-Disposition: form-data; name="file"; filename=""',
]


@pytest.mark.parametrize(
    ("frame", "head"),
    [*(("quoted", head) for head in FORMS_OF_A_FILE), *((frame, FORMS_OF_A_FILE[0]) for frame in ("preamble", "epilogue"))],
    ids=range(len(FORMS_OF_A_FILE) + 2),
)
async def test_what_clients_write(client: Client, head: bytes, frame: str) -> None:
    """Names of files in any charset or spelling, heads in any letter case, and text around the parts are in order."""
    upload_id = await client.begun()
    texts = form(of_chunk(upload_id, b"")[1:])
    body = f"--{BOUNDARY}\r\n".encode() + head + b"\r\n\r\nabc\r\n" + texts
    kind = f'Multipart/Form-Data; charset=utf-8; Boundary="{BOUNDARY}"' if frame == "quoted" else KIND
    body = {"preamble": b"This is a form.\r\n" + body, "epilogue": body + b"\r\nbye", "quoted": body}[frame]
    answer = await client.ask("POST", CHUNK, body, {"Content-Type": kind})
    assert answer.data == {"chunk_index": 0, "upload_id": upload_id}
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"abc"


async def test_pairs_with_bytes_beyond_ascii(client: Client) -> None:
    """`curl -d` escapes nothing: bytes of UTF-8 are taken as they are."""
    body = f"upload_id={await client.begun()}&total_chunks=0&total_size=0&file_extension=txt&content_type=größe+a%2Bb"
    answer = await client.ask("POST", COMPLETE, body.encode(), {"Content-Type": f"{PAIRS}; charset=UTF-8"})
    assert answer.data["content_type"] == "größe a+b"


@pytest.mark.parametrize("path", [CHUNK, COMPLETE, INIT])
async def test_a_client_that_waits_for_100(client: Client, path: str) -> None:
    """With `Expect: 100-continue`, 100 comes before a form is read, and before any 200."""
    upload_id = await client.begun()
    body = form(of_chunk(upload_id, noise(2 * MIB)))
    if path == COMPLETE:
        said = {"total_chunks": "0", "total_size": "0", "file_extension": "txt", "content_type": "x"}
        body = form([("upload_id", upload_id), *said.items()])
    async with raw(client) as connection:
        heads = {"Content-Type": KIND, "Content-Length": len(body), "Expect": "100-continue"}
        await connection.send(request("POST", path, heads))
        assert (await connection.answer(60)).status == 100
        await connection.send(body)
        assert (await connection.answer(60)).status == 200


async def test_what_is_no_form_never_hears_100(client: Client) -> None:
    """A body that nobody will read is refused before it is sent."""
    async with raw(client) as connection:
        heads = {"Content-Type": "application/json", "Content-Length": 1000, "Expect": "100-continue"}
        await connection.send(request("POST", CHUNK, heads))
        answer = await connection.answer(60)
        assert (answer.status, answer.headers["Connection"]) == (422, "close")


async def test_a_chunked_body(client: Client) -> None:
    """A form may come without a Content-Length, in pieces of any size."""
    upload_id, data = await client.begun(), noise(1_000_000)
    body = form(of_chunk(upload_id, data))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 77_777):
            yield body[start : start + 77_777]

    async with client.session.post(client.base + CHUNK, data=pieces(), headers={"Content-Type": KIND}) as answer:
        assert answer.status == 200
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == data


@pytest.mark.parametrize("cut", [10, 200, 500, 900_000])
async def test_a_connection_that_breaks_leaves_nothing(client: Client, server: Deployment, cut: int) -> None:
    """A form that ends before its end is nobody's, and the index stays what it was."""
    upload_id = await client.begun()
    assert (await client.chunk(upload_id, 0, b"before")).status == 200
    before = server.objects()
    body = form(of_chunk(upload_id, noise(1_000_000)))
    async with raw(client) as connection:
        await connection.send(request("POST", CHUNK, {"Content-Type": KIND, "Content-Length": len(body)}))
        await connection.send(body[:cut])
        connection.writer.write_eof()
        assert await connection.closed()
    assert server.objects().items() <= before.items()
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"before"


async def test_a_silent_sender_is_cut(fresh: Start) -> None:
    """`TUSFM_READ_TIMEOUT` holds for forms."""
    async with Client(fresh(TUSFM_READ_TIMEOUT="1").urls[0]) as client:
        body = form(of_chunk(await client.begun(), b"abc" * 1000))
        for kind in (KIND, PAIRS):
            async with raw(client) as connection:
                await connection.send(request("POST", CHUNK, {"Content-Type": kind, "Content-Length": len(body)}))
                await connection.send(body[:500])
                assert await connection.closed(60)


async def test_slow_senders_hold_nothing(fresh: Start) -> None:
    """Ten forms that stand still in the middle of their file keep neither the database nor the storage from others."""
    deployment = fresh(TUSFM_MYSQL_POOL="1", TUSFM_S3_CONNECTIONS="1")
    async with Client(deployment.urls[0]) as client:
        upload_id = await client.begun()
        body = form(of_chunk(upload_id, noise(500_000)))
        slow = []
        for _ in range(10):
            connection = await raw(client).__aenter__()
            slow.append(connection)
            await connection.send(request("POST", CHUNK, {"Content-Type": KIND, "Content-Length": len(body)}))
            await connection.send(body[:-100_000])
        file = await client.made(b"quick", b"er")
        assert await client.content(file) == b"quicker"
        for connection in slow:
            await connection.send(body[-100_000:])
            assert (await connection.answer(60)).status == 200
            await connection.__aexit__()


def raw(client: Client) -> Raw:
    """Open a raw connection."""
    parts = urlsplit(client.base)
    assert parts.hostname is not None
    assert parts.port is not None
    return Raw(parts.hostname, parts.port)


@given(
    order=st.permutations(range(4)),
    data=st.binary(max_size=300)
    | st.sampled_from([b"", b"\r\n", f"\r\n--{BOUNDARY}".encode()[:-1], b"--\r\n" * 40, b"\0" * 70_000]),
    cuts=st.lists(st.integers(0, 1200), max_size=6),
    boundary=st.text("0123456789abcXYZ'()+_,-./:=?", min_size=1, max_size=70),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_any_bytes_cut_anywhere(
    server: Deployment, order: list[int], data: bytes, cuts: list[int], boundary: str
) -> None:
    """Whatever the order of the fields, the file's bytes, and where the network cuts the form: the chunk is what was sent."""
    if f"--{boundary}".encode() in data:
        return
    address = urlsplit(server.urls[0]).netloc
    upload_id = json.loads(asked(address, INIT, b"", ""))["data"]["upload_id"]
    parts = of_chunk(upload_id, data)
    body = form([parts[position] for position in order], boundary)
    kind = f'multipart/form-data; boundary="{boundary}"'
    answer = json.loads(asked(address, CHUNK, body, kind, sorted(cuts)))
    assert answer["success"], answer
    said: Parts = [("upload_id", upload_id), ("total_chunks", "1"), ("total_size", "0"), ("file_extension", "bin")]
    assert json.loads(asked(address, COMPLETE, form([*said, ("content_type", "x")]), KIND))["errors"] != []
    said = [*said[:3], ("file_extension", "txt"), ("content_type", "x")]
    file = json.loads(asked(address, COMPLETE, form(said), KIND))["data"]
    link = urlsplit(file["download_url"])
    while (content := fetched(link.netloc, f"{link.path}?{link.query}"))[0] != 200:
        assert content[0] in {404, 409}
    assert content[1] == data


def asked(address: str, path: str, body: bytes, kind: str, cuts: list[int] | None = None) -> bytes:
    """POST a body, flushed at each cut."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader("Content-Type", kind)
    connection.endheaders()
    bounds = [0, *[min(cut, len(body)) for cut in cuts or []], len(body)]
    for start, end in itertools.pairwise(bounds):
        connection.send(body[start:end])
    answer = connection.getresponse().read()
    connection.close()
    return answer


def fetched(address: str, path: str) -> tuple[int, bytes]:
    """GET."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_never_begun_is_told_of_whole_forms_only(server: Deployment) -> None:
    """The look-up comes when all was read: a chunk for nobody is 422 with the old service's sentence."""
    body = asked(urlsplit(server.urls[0]).netloc, CHUNK, WHOLE, KIND)
    assert body == refusal(NOT_BEGUN)
