"""The suite's client: aiohttp for what a client library would send, a raw socket for what it would not."""

import asyncio
import base64
import contextlib
import hashlib
import io
import itertools
import random
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

VERSION = {"Tus-Resumable": "1.0.0"}
PATIENCE_SECONDS = 60.0
SOCKETS = Path("/proc/net/tcp")
OCTETS = {"Content-Type": "application/offset+octet-stream"}


def noise(size: int, seed: int = 0) -> bytes:
    """Make bytes that differ everywhere."""
    return random.Random(seed).randbytes(size)


def encoded(text: str | bytes) -> str:
    """Write a metadata value."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def digest(algorithm: str, data: bytes) -> str:
    """Write an Upload-Checksum."""
    value = hashlib.new(algorithm, data).digest() if algorithm != "crc32" else crc32(data)
    return f"{algorithm} {encoded(value)}"


def crc32(data: bytes) -> bytes:
    """Compute CRC-32, big-endian."""
    import zlib  # noqa: PLC0415

    return struct.pack(">I", zlib.crc32(data))


@dataclass(frozen=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    reason: str | None = None

    @property
    def offset(self) -> int:
        """The Upload-Offset."""
        return int(self.headers["Upload-Offset"])

    @property
    def location(self) -> str:
        """The Location."""
        return self.headers["Location"]


class Client:
    """Speaks tus to a server; every request has Tus-Resumable unless it is taken away by None.

    Of several processes each request goes to the next one, whatever its URL says.
    """

    def __init__(self, bases: Sequence[str]) -> None:
        """Take the processes' URLs."""
        self._turns = itertools.cycle(bases)

    @property
    def base(self) -> str:
        """The process whose turn it is."""
        return next(self._turns)

    async def __aenter__(self) -> Self:
        """Open a session."""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str = "/files/",
        headers: Mapping[str, str | None] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
    ) -> Answer:
        """Send a request; header values of None are left out."""
        chosen = {name: value for name, value in {**VERSION, **(headers or {})}.items() if value is not None}
        url = self.base + (origin_form(path) if path.startswith("http") else path)
        skip = {"Content-Type"} if body is not None and "Content-Type" not in chosen else set()
        data = io.BytesIO(body) if isinstance(body, bytes) and body else body
        async with self._session.request(
            method, url, headers=chosen, data=data, allow_redirects=False, skip_auto_headers=skip
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), answer.reason)

    async def create(
        self, length: int | None = None, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST, with a length or a deferral."""
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        kind = OCTETS if body is not None else {}
        return await self.ask("POST", headers={**size, **kind, **(headers or {})}, body=body)

    async def made(self, length: int | None = None, **more: str) -> str:
        """Create an upload and return its URL."""
        answer = await self.create(length, headers={name.replace("_", "-"): value for name, value in more.items()})
        assert answer.status == 201, answer
        return answer.location

    async def patch(
        self, url: str, offset: int, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """PATCH bytes."""
        return await self.ask("PATCH", url, {**OCTETS, "Upload-Offset": str(offset), **(headers or {})}, body)

    async def head(self, url: str) -> Answer:
        """HEAD."""
        return await self.ask("HEAD", url)

    async def offset_after(self, url: str, expected: int) -> int:
        """HEAD until all that was sent counts: the server may be asked before it has read what lies in its socket."""
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (answer := await self.head(url)).offset != expected and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        return answer.offset

    async def whole(self, data: bytes, **more: str) -> str:
        """Upload a file at once and return its URL."""
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        answer = await self.create(len(data), data, headers)
        assert (answer.status, answer.offset) == (201, len(data)), answer
        return answer.location

    async def content(self, url: str) -> bytes:
        """Download a finished upload; a machine with much to do may take longer to finish it than a GET waits."""
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (answer := await self.ask("GET", url)).status == 409 and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.1)
        assert answer.status == 200, answer
        return answer.body

    def raw(self) -> "Raw":
        """Open a raw connection."""
        parts = urlsplit(self.base)
        assert parts.hostname is not None
        assert parts.port is not None
        return Raw(parts.hostname, parts.port)


class Raw:
    """A socket on which a test writes what it likes."""

    def __init__(self, host: str, port: int) -> None:
        """Take the address."""
        self._address = host, port

    async def __aenter__(self) -> Self:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes | str) -> None:
        """Write."""
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        await self.writer.drain()

    async def taken(self) -> None:
        """Wait until the other end has read all that was sent; where the kernel does not tell, two seconds."""
        here, there = (self.writer.get_extra_info(name) for name in ("sockname", "peername"))
        if not SOCKETS.exists():
            await asyncio.sleep(2)
            return
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.writer.transport.get_write_buffer_size() or on_their_way(here, there):
                await asyncio.sleep(0.01)

    def reset(self) -> None:
        """Close with a RST, as a lost network's middle boxes do."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def answer(self, seconds: float = PATIENCE_SECONDS, *, empty: bool = False) -> Answer:
        """Read one response with a Content-Length, *empty* to a HEAD. ConnectionError when there is none."""
        async with asyncio.timeout(seconds):
            head = await self._head()
            lines = head.decode("latin-1").split("\r\n")
            headers: CIMultiDict[str] = CIMultiDict()
            for line in lines[1:]:
                name, _, value = line.partition(": ")
                headers.add(name, value)
            status = int(lines[0].split(" ")[1])
            size = int(headers.get("Content-Length", "0"))
            body = await self.reader.readexactly(size) if size and not empty and status not in {100, 204, 304} else b""
            return Answer(status, CIMultiDictProxy(headers), body, lines[0])

    async def _head(self) -> bytes:
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("closed without an answer") from error

    async def closed(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for the server to close the connection."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read() is not None
            except ConnectionError:
                return True


def on_their_way(sender: tuple[str, int], receiver: tuple[str, int]) -> int:
    """Count the bytes from one IPv4 address to another on this machine that their receiver has not read."""
    ends = [f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}" for host, port in (sender, receiver)]
    unread = 0
    for line in SOCKETS.read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sent, arrived = (int(size, 16) for size in queues.split(":"))
        unread += {(ends[0], ends[1]): sent, (ends[1], ends[0]): arrived}.get((local, remote), 0)
    return unread


def request(method: str, path: str, headers: Mapping[str, object], body: bytes = b"") -> bytes:
    """Write a request for a raw socket."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def patch_head(path: str, offset: int, size: int | str, **more: str) -> bytes:
    """Write the head of a PATCH."""
    headers = {**VERSION, **OCTETS, "Upload-Offset": offset, "Content-Length": size}
    return request("PATCH", path, {**headers, **{name.replace("_", "-"): value for name, value in more.items()}})


def origin_form(url: str) -> str:
    """Return a URL without its scheme and host."""
    return "/" + url.split("/", 3)[3]


def path_of(url: str) -> str:
    """Return the path of a URL."""
    return urlsplit(url).path
