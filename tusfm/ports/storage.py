"""Where bytes lie.

Two shapes of storage keep the same promises to the engine.
An *appending* storage (a local directory) grows a segment in place; a *multipart* storage (S3) writes every object once and
joins numbered parts.
Both have one-shot objects, reads, sizes and deletes.

Promises common to both:
- A key is written once, by one writer; the engine never reuses one, so a late write lands where nobody looks.
- When a write has returned, its bytes survive the loss of power (as far as the storage's maker promises that).
- A failure that may pass is StorageUnavailable (StorageFull when there is no room); nothing else leaves an adapter but
  BytesLost, when what a call needs is gone, and SegmentBusy.
- Deleting or aborting what is not there succeeds.
- Bytes are handed over as the pieces in which they arrived; an adapter does not join them if it can help it.

Keys are ASCII and `/`-separated. They begin with `work/` (working objects), `files/` (finished ones), or `public/` and
`private/`: files that others read by their name, `UPLOAD_ID.EXTENSION`, from a storage's own buckets. Their keys are shared
by the attempts to compose them, so only `complete`, or an appending storage's `compose` with a draft, writes there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tusfm.ports.checks import Checks
from tusfm.ports.links import Links

Pieces: TypeAlias = Sequence[bytes | bytearray | memoryview]


@dataclass(frozen=True, slots=True)
class Source:
    """A stretch to compose from: *length* bytes of the object *key*, from byte *start* on; *whole* when those are all."""

    key: str
    start: int
    length: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A confirmed part of a multipart upload, as completing it needs it."""

    number: int
    etag: str


class Storage(Protocol):
    """What every storage can do."""

    links: Links | None
    """Where others read its files by themselves; None when it serves nobody."""

    async def start(self) -> None:
        """Open pools and make what is missing (directories, buckets); a backend that is away is no error here."""

    async def close(self) -> None:
        """Release everything; calls in flight end first."""

    async def put(self, key: str, pieces: Pieces) -> None:
        """Write a whole object; durable, and seen to be there, when it returns."""

    async def size(self, key: str) -> int | None:
        """Bytes of a finished object, None when there is none. Never an old picture: read after write."""

    def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream *length* bytes from *start*; pieces of at most 1 MiB. BytesLost when the object is not there."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, in as few requests as the storage allows."""

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """Every key under the prefix, in any order; for the sweep only, never on the path of an upload."""

    def checks(self) -> Checks:
        """Write, read and delete a probe object, and whatever else uploads need; nothing of it stays."""


class Segment(Protocol):
    """An open segment, held by one writer; nobody else can open it before it is closed or its process is gone."""

    untouched: bool
    """Whether it ended, when it was taken hold of, where open was told, and was not joined."""

    async def write(self, pieces: Pieces) -> None:
        """Append, the first time after cutting off what lies behind the length that open was given.

        Not durable before sync.
        """

    async def sync(self) -> None:
        """Make all that was written before the call durable, the segment's name too."""

    async def close(self) -> None:
        """Let the segment go; idempotent."""


class AppendingStorage(Storage, Protocol):
    """A storage whose segments grow in place."""

    async def open(self, key: str, length: int, pieces: Pieces = ()) -> Segment:
        """Take hold of a segment, to append after its first *length* bytes; nothing is changed before the first write.

        If it is new or *untouched*, *pieces* are appended and durable when this returns; else they are left to the caller.

        The caller looks at the row again between the two if the segment is not *untouched*: a length that was read before the
        hold may be an old one.
        *length* 0 makes it. SegmentBusy when another writer holds it; BytesLost when it has fewer bytes.
        """

    async def join(self, segments: Sequence[Source], key: str) -> None:
        """Make the object *key* of an upload's segments, and take them away; durable when it returns.

        Idempotent: may be called again after a crash at any point, or by two at once (one may get SegmentBusy).
        BytesLost when a segment is missing and the object of the whole length is not there.
        """

    async def compose(self, sources: Sequence[Source], key: str, draft: str | None = None) -> None:
        """Make the object *key* of stretches of other objects, which stay; durable when it returns.

        With *draft*, the key of an empty object, it is made there and takes the place of what *key* names: a draft that was
        deleted meanwhile takes no place. BytesLost: a source, or the draft, is gone.
        """

    def path(self, key: str) -> str:
        """The local file of an object, for sendfile."""


class MultipartStorage(Storage, Protocol):
    """A storage of write-once objects and numbered parts.

    A part has at least *min_part* bytes unless it is the last; numbers go from 1 to 10,000 and may have gaps.
    An upload of parts that the storage no longer knows is BytesLost, on put_part, copy_part and complete alike, but
    completing again with the same parts may succeed.
    """

    min_part: int

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin a multipart upload of this key and return the storage's name for it.

        *content_type* is what the storage tells whoever reads the object from it; one that fits no header is left out.
        """

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Store a part, replacing one of the same number; returns its etag once storage has confirmed it."""

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Store a part from a stretch of another object, inside the storage; returns its etag."""

    async def complete(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts. BytesLost says only that the multipart upload is unknown: look for the object."""

    async def abort(self, key: str, multipart: str) -> None:
        """Drop a multipart upload and its parts; unknown means gone."""

    def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """Every unfinished multipart upload (key, name) under the prefix; for the sweep only."""
