"""GET: downloads of finished uploads."""

import asyncio
import re

import pytest

from tests.conformance.client import VERSION, Client, encoded, noise, path_of, request

DATA = noise(100_000)


@pytest.fixture
async def url(client: Client) -> str:
    """Upload a file."""
    return await client.whole(DATA, Upload_Metadata=f"filename {encoded('a.bin')}")


async def test_a_whole_file(client: Client, url: str) -> None:
    """200 with length, validators and Accept-Ranges, and nothing that a browser would run."""
    answer = await client.ask("GET", url, {"Tus-Resumable": None})
    assert (answer.status, answer.body) == (200, DATA)
    headers = answer.headers
    assert (headers["Content-Length"], headers["Accept-Ranges"]) == (str(len(DATA)), "bytes")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert {"ETag", "Last-Modified"} <= {name.replace("Etag", "ETag") for name in headers}


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("0-0", 0, 0),
        ("10-19", 10, 19),
        ("99990-", 99_990, 99_999),
        ("-5", 99_995, 99_999),
        ("99999-200000", 99_999, 99_999),
        (f"-{2**64}", 0, 99_999),
    ],
)
async def test_one_range(client: Client, url: str, wanted: str, start: int, end: int) -> None:
    """One range is 206 with Content-Range and those bytes."""
    answer = await client.ask("GET", url, {"Range": f"bytes={wanted}"})
    assert (answer.status, answer.body) == (206, DATA[start : end + 1])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{len(DATA)}"


async def test_several_ranges(client: Client, url: str) -> None:
    """Several ranges are multipart/byteranges, each with its Content-Range."""
    answer = await client.ask("GET", url, {"Range": "bytes=0-9, 50-59,-3"})
    assert answer.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["Content-Type"])
    assert boundary
    parts = answer.body.split(f"--{boundary[1]}".encode())[1:-1]
    bodies = [part.split(b"\r\n\r\n", 1)[1][:-2] for part in parts]
    assert bodies == [DATA[:10], DATA[50:60], DATA[-3:]]
    assert b"Content-Range: bytes 50-59/100000" in parts[1]
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("wanted", ["bytes=100000-", "bytes=100001-100002", "bytes=-0", f"bytes={2**64}-"])
async def test_a_range_outside_is_416(client: Client, url: str, wanted: str) -> None:
    """A range that has no byte of the file is 416 with the file's size."""
    answer = await client.ask("GET", url, {"Range": wanted})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */100000")


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=5-1", "bytes=a-b", "bytes=", "bytes=0-,0-", "bytes=" + "0-1," * 50])
async def test_a_range_that_cannot_be_meant_is_ignored(client: Client, url: str, wanted: str) -> None:
    """Other units, malformed sets, and sets that ask for more than the file are answered with the whole."""
    answer = await client.ask("GET", url, {"Range": wanted})
    assert (answer.status, len(answer.body)) == (200, len(DATA))


async def test_conditions(client: Client, url: str) -> None:
    """If-None-Match, If-Modified-Since, If-Match and If-Range do what RFC 9110 says."""
    first = await client.ask("GET", url)
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'"x", W/{tag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "nonsense"}, 200),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": tag}, 200),
        ({"Range": "bytes=0-1", "If-Range": tag}, 206),
        ({"Range": "bytes=0-1", "If-Range": date}, 206),
        ({"Range": "bytes=0-1", "If-Range": '"x"'}, 200),
        ({"Range": "bytes=0-1", "If-Range": f"W/{tag}"}, 200),
    ):
        assert (await client.ask("GET", url, headers)).status == status, headers
    assert (await client.ask("GET", url, {"If-Match": '"x"'})).body.endswith(b".\n")


@pytest.mark.parametrize(("name", "status"), [("If-None-Match", 304), ("If-Match", 200)])
async def test_a_list_may_come_in_several_lines(client: Client, url: str, name: str, status: int) -> None:
    """The tags of all lines count."""
    tag = (await client.ask("GET", url)).headers["ETag"]
    async with client.raw() as raw:
        await raw.send(f'GET {path_of(url)} HTTP/1.1\r\nHost: x\r\n{name}: "x"\r\n{name}: {tag}\r\n\r\n')
        assert (await raw.answer()).status == status


@pytest.mark.parametrize(
    ("kind", "shown", "how"),
    [
        ("image/png", "image/png", "inline"),
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("text/plain", "text/plain; charset=utf-8", "inline"),
        ("x\r\nSet-Cookie: a=b", "application/octet-stream", "attachment"),
        ("nonsense", "application/octet-stream", "attachment"),
        ("", "application/octet-stream", "attachment"),
    ],
)
async def test_only_harmless_types_are_shown(client: Client, kind: str, shown: str, how: str) -> None:
    """The type is the client's if it is one; only a short list of types is inline."""
    url = await client.whole(b"x", Upload_Metadata=f"filetype {encoded(kind)},filename {encoded('f')}")
    headers = (await client.ask("GET", url)).headers
    assert (headers["Content-Type"], headers["Content-Disposition"].partition(";")[0]) == (shown, how)
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.txt", 'filename="a b.txt"'),
        ("../../etc/passwd", 'filename="passwd"'),
        ("x\r\nSet-Cookie: a=b", 'filename="xSet-Cookie: a=b"'),
        ('q"q.txt', "filename=\"q_q.txt\"; filename*=UTF-8''q%22q.txt"),
        ("\u00e4\u202etxt.exe", "filename=\"atxt.exe\"; filename*=UTF-8''%C3%A4txt.exe"),
    ],
)
async def test_names_are_safe_to_save(client: Client, name: str, header: str) -> None:
    """File names bear no folders, no control characters and no quotes; beyond ASCII they are RFC 5987's."""
    url = await client.whole(b"x", Upload_Metadata=f"filename {encoded(name)}")
    assert (await client.ask("GET", url)).headers["Content-Disposition"] == f"attachment; {header}"


async def test_an_unfinished_upload_is_409(client: Client) -> None:
    """GET of an unfinished upload is 409 with Retry-After."""
    answer = await client.ask("GET", await client.made(3))
    assert (answer.status, "Retry-After" in answer.headers) == (409, True)


async def test_a_download_follows_the_last_byte_at_once(client: Client) -> None:
    """A GET right behind the PATCH that ended a large upload waits for the object, and gets it."""
    data = noise(3_000_000)
    url = await client.made(len(data))
    await client.patch(url, 0, data[:2_000_000])
    await client.patch(url, 2_000_000, data[2_000_000:])
    assert await client.content(url) == data


async def test_a_slow_reader_is_not_cut_by_other_requests(client: Client) -> None:
    """Status requests, and other downloads, do not disturb a download."""
    data = noise(20_000_000)
    url = await client.whole(data)
    async with client.raw() as raw:
        await raw.send(request("GET", path_of(url), {**VERSION, "Connection": "close"}))
        got = await raw.reader.readexactly(100_000)
        for _ in range(5):
            assert (await client.head(url)).status == 200
            await asyncio.sleep(0.05)
        got += await raw.reader.read()
    assert got.partition(b"\r\n\r\n")[2] == data


async def test_a_reader_that_leaves_leaves_no_trace(client: Client) -> None:
    """A client that goes away in the middle of a download costs nothing."""
    url = await client.whole(noise(20_000_000))
    for _ in range(3):
        async with client.raw() as raw:
            await raw.send(request("GET", path_of(url), VERSION))
            await raw.reader.readexactly(1000)
            raw.reset()
    assert (await client.ask("GET", url, {"Range": "bytes=0-1"})).status == 206
