"""A load generator on raw sockets, cheaper than the servers: bytes that are made once, HTTP that is written by hand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

MIB = 1024 * 1024
BLOCK = bytes(range(256)) * 4096  # 1 MiB
VERSION = "Tus-Resumable: 1.0.0\r\n"
OCTETS = "Content-Type: application/offset+octet-stream\r\n"


@dataclass(slots=True)
class Reply:
    """What a server said."""

    status: int
    headers: dict[str, str]


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        """Take a loopback port."""
        self._port = port

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._writer.close()

    async def ask(self, head: str, size: int = 0) -> Reply:
        """Send a request whose body has so many bytes, and read the answer."""
        self._writer.write(f"{head}Host: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
        for start in range(0, size, MIB):
            self._writer.write(BLOCK if size - start >= MIB else BLOCK[: size - start])
            await self._writer.drain()
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(first.split(" ")[1]), headers)

    async def create(self, length: int, body: int = 0) -> str:
        """Create an upload, perhaps with its bytes, and return its path."""
        reply = await self.ask(f"POST /files/ HTTP/1.1\r\n{VERSION}Upload-Length: {length}\r\n{OCTETS if body else ''}", body)
        assert reply.status == 201, reply
        return "/files/" + reply.headers["location"].rpartition("/files/")[2]

    async def patch(self, path: str, offset: int, size: int) -> None:
        """Send bytes."""
        reply = await self.ask(f"PATCH {path} HTTP/1.1\r\n{VERSION}{OCTETS}Upload-Offset: {offset}\r\n", size)
        assert reply.status == 204, reply

    async def head(self, path: str) -> float:
        """Ask for the offset; returns the seconds that it took."""
        began = time.perf_counter()
        self._writer.write(f"HEAD {path} HTTP/1.1\r\n{VERSION}Host: localhost\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")
        return time.perf_counter() - began


async def streams(port: int, count: int, size: int, patch: int) -> int:
    """Upload so many files at once, each in PATCHes of a size; returns the bytes sent."""

    async def one() -> None:
        async with Connection(port) as connection:
            path = await connection.create(size)
            for offset in range(0, size, patch):
                await connection.patch(path, offset, min(patch, size - offset))

    await asyncio.gather(*(one() for _ in range(count)))
    return count * size


async def small_files(port: int, count: int, size: int, at_once: int, *, by_patch: bool) -> int:
    """Upload many small files, so many at once; returns their number."""
    left = iter(range(count))

    async def one() -> None:
        async with Connection(port) as connection:
            for _ in left:
                path = await connection.create(size, 0 if by_patch else size)
                if by_patch:
                    await connection.patch(path, 0, size)

    await asyncio.gather(*(one() for _ in range(at_once)))
    return count


async def timed(work: Callable[[], Awaitable[int]]) -> float:
    """Run a workload, and return its rate a second."""
    began = time.perf_counter()
    done = await work()
    return done / (time.perf_counter() - began)
