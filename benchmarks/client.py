"""A tus client that costs less than any server: blocking sockets in threads, bodies by sendfile out of memory.

What it sends at an offset depends on the offset, so that bytes in a wrong place show.
"""

import functools
import os
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
KIB = 1024
MIB = 1024 * KIB
TURN_BYTES = 32 * MIB + 4 * KIB  # the content repeats itself after so many bytes, which no size of a part divides
SMALL_BYTES = 64 * KIB  # of a body that goes out with its head in one call
ANSWER_SECONDS = 300
VERSION = "Tus-Resumable: 1.0.0\r\n"
OCTETS = "Content-Type: application/offset+octet-stream\r\n"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes made once, in a file that lies in memory."""

    data: bytes
    file: int

    @classmethod
    def made(cls) -> Self:
        """Make them."""
        data = random.Random(1).randbytes(TURN_BYTES)
        file = os.memfd_create("content")
        os.write(file, data)
        return cls(data, file)

    def stretches(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut a stretch of an upload into stretches of the file."""
        while size:
            start = offset % TURN_BYTES
            step = min(size, TURN_BYTES - start)
            yield start, step
            offset, size = offset + step, size - step


@functools.cache
def content() -> Content:
    """Return the bytes that all uploads are made of."""
    return Content.made()


@dataclass(slots=True)
class Reply:
    """What a server said, and after how many seconds."""

    status: int
    headers: dict[str, str]
    seconds: float
    rest: bytes = b""


class Unexpected(Exception):
    """A server did not do what a workload rests on; the text is one sentence."""


class Client:
    """One keep-alive connection, of one thread."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, patience: int = ANSWER_SECONDS) -> None:
        """Connect to a loopback port; a server that takes or says nothing for *patience* seconds raises BlockingIOError."""
        self.port = port
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # Python's own time limits would make it non-blocking
            self.socket.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", patience, 0))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.socket.close()

    def begin(self, head: str, size: int) -> bytes:
        """Write the head of a request whose body has so many bytes."""
        return f"{head}Host: 127.0.0.1:{self.port}\r\nContent-Length: {size}\r\n\r\n".encode()

    def send(self, offset: int, size: int) -> None:
        """Send the bytes of a stretch."""
        made = content()
        for start, step in made.stretches(offset, size):
            at, end = start, start + step
            while at < end:
                at += os.sendfile(self.socket.fileno(), made.file, at, end - at)

    def ask(self, head: str, offset: int = 0, size: int = 0) -> Reply:
        """Send a request whose body is a stretch of the content, and read the answer."""
        began = time.perf_counter()
        data = self.begin(head, size)
        if 0 < size <= SMALL_BYTES and offset % TURN_BYTES + size <= TURN_BYTES:
            start = offset % TURN_BYTES
            self.socket.sendall(data + content().data[start : start + size])
        else:
            self.socket.sendall(data)
            self.send(offset, size)
        return self.answer(began, bodiless=head.startswith("HEAD"))

    def answer(self, began: float, *, bodiless: bool = False, leave_body: bool = False) -> Reply:
        """Read an answer; *leave_body*: only its head, and what came with that."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionResetError
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        reply = Reply(int(first.split(" ")[1]), headers, 0.0, rest)
        if not (bodiless or leave_body):
            self._skip_body(reply)
        reply.seconds = time.perf_counter() - began
        return reply

    def _skip_body(self, reply: Reply) -> None:
        left = int(reply.headers.get("content-length", "0")) - len(reply.rest)
        while left > 0:
            more = self.socket.recv(left)
            reply.rest += more
            left -= len(more) or left
        while reply.headers.get("transfer-encoding") == "chunked" and not reply.rest.endswith(b"0\r\n\r\n"):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionResetError
            reply.rest += more

    def create(self, length: int, body: int = 0, more: str = "") -> tuple[str, float]:
        """Create an upload, perhaps with its bytes; returns its path and the seconds that it took."""
        kind = OCTETS if body else ""
        reply = expect(201, self.ask(f"POST /files/ HTTP/1.1\r\n{VERSION}Upload-Length: {length}\r\n{more}{kind}", 0, body))
        return urlsplit(reply.headers["location"]).path, reply.seconds

    def patch(self, path: str, offset: int, size: int) -> float:
        """Send bytes; returns the seconds that it took."""
        head = f"PATCH {path} HTTP/1.1\r\n{VERSION}{OCTETS}Upload-Offset: {offset}\r\n"
        return expect(204, self.ask(head, offset, size)).seconds

    def post(self, path: str, kind: str, body: bytes) -> Reply:
        """Send a form, or nothing, to the older API."""
        began = time.perf_counter()
        self.socket.sendall(self.begin(f"POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\n", len(body)) + body)
        return expect(200, self.answer(began))

    def head(self, path: str) -> Reply:
        """Ask for the state of an upload."""
        return self.ask(f"HEAD {path} HTTP/1.1\r\n{VERSION}")


def expect(status: int, reply: Reply) -> Reply:
    """Return the reply if it has this status. Unexpected."""
    if reply.status != status:
        raise Unexpected(f"The answer is {reply.status} and not {status}: {reply.rest.decode(errors='replace')[:200]}")
    return reply


@dataclass(slots=True)
class Received:
    """A download: its bytes, and their checksum when it was asked for."""

    size: int = 0
    checksum: int = 0


def download(port: int, path: str, consume: Callable[[memoryview, int], int] | None = None) -> Received:
    """Read a whole upload; *consume* folds its pieces into a checksum, as zlib.crc32 does. Without it they are not copied."""
    found = Received()
    buffer = memoryview(bytearray(MIB))
    with Client(port) as client:
        client.socket.sendall(client.begin(f"GET {path} HTTP/1.1\r\n{VERSION}", 0))
        reply = expect(200, client.answer(time.perf_counter(), leave_body=True))
        length = int(reply.headers["content-length"])
        pieces = reply.rest
        found.size = len(pieces)
        found.checksum = consume(memoryview(pieces), 0) if consume else 0
        while found.size < length:
            count = client.socket.recv_into(buffer, min(MIB, length - found.size), 0 if consume else socket.MSG_TRUNC)
            if not count:
                raise Unexpected(f"The download ended after {found.size} of {length} bytes.")
            found.size += count
            if consume:
                found.checksum = consume(buffer[:count], found.checksum)
    return found


def together(count: int, work: Callable[[], T]) -> list[T]:
    """Run the same work in so many threads at once."""
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(work) for _ in range(count)]]


def shared(items: Iterable[T]) -> Iterator[T]:
    """Return an iterator that several threads may draw from."""
    return iter(list(items))
