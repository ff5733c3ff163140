"""A multipart storage in memory, as strict as S3: it goes through the contract suite, and is S3 in the engine's."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from tusfm.domain.errors import BytesLost, StorageUnavailable
from tusfm.ports.checks import Checks
from tusfm.ports.links import Links
from tusfm.ports.storage import Part, Pieces, Source

READ_BYTES = 1024 * 1024
MOST_NUMBER = 10_000


@dataclass
class Multipart:
    """An unfinished multipart upload."""

    key: str
    content_type: str | None
    parts: dict[int, bytes] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)


class MemoryStorage:
    """Implements ports.storage.MultipartStorage; several engines may share one."""

    links: Links | None = None

    def __init__(self, min_part: int = 5 * 1024 * 1024, most_age: float = float("inf")) -> None:
        """Take the least size of a part that is not the last, and the seconds after which a multipart upload is aborted."""
        self.min_part = min_part
        self.most_age = most_age
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str | None] = {}
        self.unfinished: dict[str, Multipart] = {}
        self.calls: list[str] = []
        self.written = 0
        self.read_back = 0
        self._names = itertools.count(1)

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0.001)
        for old in [old for old, one in self.unfinished.items() if time.monotonic() - one.began > self.most_age]:
            del self.unfinished[old]

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def put(self, key: str, pieces: Pieces) -> None:
        """Keep an object."""
        await self._call("put")
        self.objects[key] = b"".join(pieces)
        self.written += len(self.objects[key])

    async def size(self, key: str) -> int | None:
        """Tell its size."""
        await self._call("size")
        return len(self.objects[key]) if key in self.objects else None

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Give a stretch."""
        await self._call("read")
        if key not in self.objects or start + length > len(self.objects[key]):
            raise BytesLost("the object is not there")
        self.read_back += length
        for at in range(start, start + length, READ_BYTES):
            yield self.objects[key][at : min(at + READ_BYTES, start + length)]

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget objects."""
        await self._call("delete")
        for key in keys:
            self.objects.pop(key, None)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """List keys."""
        await self._call("list")
        for key in [key for key in self.objects if key.startswith(prefix)]:
            yield key

    def checks(self) -> Checks:
        """Always work."""
        return []

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin a multipart upload."""
        await self._call("begin")
        name = f"multipart-{next(self._names)}"
        self.unfinished[name] = Multipart(key, content_type)
        return name

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Keep a part."""
        await self._call("part")
        return self._part(key, multipart, number, b"".join(pieces))

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Copy a part."""
        await self._call("copy")
        if source.key not in self.objects:
            raise BytesLost("the source is not there")
        return self._part(key, multipart, number, self.objects[source.key][source.start : source.start + source.length])

    def _part(self, key: str, multipart: str, number: int, data: bytes) -> str:
        if multipart not in self.unfinished or self.unfinished[multipart].key != key:
            raise BytesLost("the multipart upload is not there")
        if not 1 <= number <= MOST_NUMBER:
            raise StorageUnavailable("no such part number")
        self.unfinished[multipart].parts[number] = data
        self.written += len(data)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    async def complete(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        """Make the object."""
        await self._call("complete")
        known = self.unfinished.get(multipart)
        if known is None or known.key != key:
            raise BytesLost("the multipart upload is not there")
        data = [known.parts.get(part.number, b"") for part in parts]
        digests = [hashlib.md5(one, usedforsecurity=False).hexdigest() for one in data]
        if digests != [part.etag for part in parts] or [part.number for part in parts] != sorted({p.number for p in parts}):
            raise StorageUnavailable("the parts are not those that were stored")
        if not parts or any(len(one) < self.min_part for one in data[:-1]):
            raise StorageUnavailable("a part is too small")
        self.objects[key] = b"".join(data)
        self.types[key] = known.content_type
        del self.unfinished[multipart]

    async def abort(self, key: str, multipart: str) -> None:
        """Drop a multipart upload."""
        await self._call("abort")
        if multipart in self.unfinished and self.unfinished[multipart].key == key:
            del self.unfinished[multipart]

    async def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """List unfinished multipart uploads."""
        await self._call("list")
        for name, one in list(self.unfinished.items()):
            if one.key.startswith(prefix):
                yield one.key, name
