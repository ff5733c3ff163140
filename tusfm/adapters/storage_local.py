"""A local directory as an appending storage.

Names: `work/ID/s/3` is the file `work/ID[:2]/ID.s.3`, and `public/ID.txt` is `public/ID[:2]/ID.txt`: shards are made once,
so no upload costs a directory and its fsync.
All file work is done in threads, a whole operation in one hop.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tusfm.adapters import local_files as files
from tusfm.domain.errors import BytesLost, SegmentBusy, StorageUnavailable, Unavailable
from tusfm.ports.checks import Checks
from tusfm.ports.links import Links
from tusfm.ports.storage import Pieces, Source

T = TypeVar("T")
KEY = re.compile(r"(work|files)/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*|(public|private)/[A-Za-z0-9_-]+\.[A-Za-z0-9]+", re.ASCII)
TOPS = ("work", "files", "public", "private")
NAMED = ("public", "private")  # whose files bear the names that others know them by


class LocalStorage:
    """Implements ports.storage.AppendingStorage."""

    links: Links | None = None

    def __init__(self, root: Path, threads: int = 8) -> None:
        """Take the directory; nothing is made before start."""
        self._root = root
        self._threads = ThreadPoolExecutor(threads, "files")

    async def start(self) -> None:
        """Make the directories that are missing."""

        def work() -> None:
            with files.told("making its folders"):
                for top in TOPS:
                    for shard in range(256):
                        (self._root / top / f"{shard:02x}").mkdir(parents=True, exist_ok=True)
                    files.sync_directory(str(self._root / top))
                files.sync_directory(str(self._root))

        with contextlib.suppress(Unavailable):  # each request will say so
            await self._run(work)

    async def close(self) -> None:
        """Let calls in flight end."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._sure, work)

    def _sure(self, work: Callable[[], T]) -> T:
        """Let BytesLost pass only while our folders are there: a disk that is not mounted has lost nothing."""
        try:
            return work()
        except BytesLost:
            self._require_folders()
            raise

    def _require_folders(self) -> None:
        if not all((self._root / top / "00").is_dir() for top in TOPS):
            msg = "the storage directory is not there; look at TUSFM_DATA_DIR, and whether its disk is mounted"
            raise StorageUnavailable(msg)

    def path(self, key: str) -> str:
        """Return the file that a key names."""
        if not KEY.fullmatch(key):
            msg = f"not a key: {key!r}"
            raise ValueError(msg)
        top, _, rest = key.partition("/")
        return f"{self._root}/{top}/{self._shard(rest)}/{rest.replace('/', '.')}"

    def _shard(self, rest: str) -> str:
        head = rest[:2].lower()
        return head if re.fullmatch("[0-9a-f]{2}", head) else "00"

    async def put(self, key: str, pieces: Pieces) -> None:
        """Write a whole object; one that is there already is an error, for keys are written once."""
        path = self.path(key)

        def work() -> None:
            with files.told("storing a file"), files.opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
                try:
                    files.write_all(fd, pieces, 0)
                    files.sync_file(fd)
                    files.sync_directory(os.path.dirname(path))
                except OSError:
                    files.remove(path)
                    raise

        await self._run(work)

    async def size(self, key: str) -> int | None:
        """Return an object's size."""
        path = self.path(key)

        def work() -> int | None:
            with files.told("looking at a file"):
                size = files.size_of(path)
            if size is None:
                self._require_folders()
            return size

        return await self._run(work)

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream a stretch of an object."""
        path = self.path(key)

        def begin() -> int:
            with files.told("reading a file"):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

        fd = await self._run(begin)
        try:
            while length:
                data = await self._run(lambda at=start, most=length: _read(fd, at, most))  # type: ignore[misc]
                yield data
                start, length = start + len(data), length - len(data)
        finally:
            os.close(fd)

    async def delete(self, keys: Sequence[str]) -> None:
        """Unlink files. Their names may come back after a loss of power, and the sweep finds them then."""
        paths = [self.path(key) for key in keys]

        def work() -> None:
            with files.told("deleting files"):
                for path in paths:
                    files.remove(path)

        await self._run(work)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """List keys, shard by shard; a prefix that tells the shard lists that one only."""
        top, _, rest = prefix.partition("/")
        shards = [self._shard(rest)] if len(rest) > 1 else [f"{shard:02x}" for shard in range(256)]
        for shard in shards:
            folder = self._root / top / shard
            names = await self._run(lambda folder=folder: _names(folder))  # type: ignore[misc]
            for name in names:
                key = f"{top}/{name if top in NAMED else name.replace('.', '/')}"
                if key.startswith(prefix):
                    yield key

    def checks(self) -> Checks:
        """Write, read and delete a probe."""
        return [("directory written", self._probe)]

    async def _probe(self) -> None:
        key = f"work/probe/{secrets.token_hex(8)}"
        await self.put(key, [b"probe"])
        found = b"".join([piece async for piece in self.read(key, 0, 5)])
        await self.delete([key])
        if found != b"probe":
            msg = "the storage directory does not give back what was written"
            raise StorageUnavailable(msg)

    async def open(self, key: str, length: int, pieces: Pieces = ()) -> "LocalSegment":
        """Take hold of a segment, and write."""
        path = self.path(key)

        def work() -> LocalSegment:
            with files.told("opening a segment"):
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if length else os.O_CREAT), 0o640)
                try:
                    files.hold(fd)
                    segment = LocalSegment(self._run, fd, path, length, untouched=_untouched(fd, path, length))
                    if pieces and (segment.untouched or not length):
                        segment.store(pieces)
                except BaseException:
                    os.close(fd)
                    raise
                return segment

        return await self._run(work)

    async def join(self, segments: Sequence[Source], key: str) -> None:
        """Make the object of its segments: the later ones are appended to the first, which is then renamed."""
        paths, lengths = [self.path(one.key) for one in segments], [one.length for one in segments]
        target = self.path(key)

        def work() -> None:
            with files.told("joining segments"):
                if files.size_of(target) != sum(lengths):
                    _join(paths, lengths, target)
                _remove_all(paths)

        await self._run(work)

    async def compose(self, sources: Sequence[Source], key: str, draft: str | None = None) -> None:
        """Copy stretches of objects into a new one."""
        named = [(self.path(one.key), one.start, one.length) for one in sources]
        target = self.path(key)
        given = self.path(draft or f"work/{key.partition('/')[2]}/draft")

        def work() -> None:
            with files.told("composing a file"):
                if draft is not None:
                    _compose(named, given, target, os.O_RDWR)
                elif files.size_of(target) != sum(length for _, _, length in named):
                    _compose(named, given, target)

        await self._run(work)


class LocalSegment:
    """An open segment file, held by the kernel's lock."""

    def __init__(
        self, run: Callable[[Callable[[], None]], object], fd: int, path: str, length: int, *, untouched: bool
    ) -> None:
        """Use LocalStorage.open."""
        self.untouched = untouched
        self._run = run
        self._fd: int | None = fd
        self._path = path
        self._position = length
        self._cut = untouched
        self._named = length > 0

    async def write(self, pieces: Pieces) -> None:
        """Append."""

        def work() -> None:
            with files.told("storing bytes"):
                self._write(pieces)

        await self._run(work)  # type: ignore[misc]

    def store(self, pieces: Pieces) -> None:
        """Append and sync, in the caller's thread."""
        with files.told("storing bytes"):
            self._write(pieces)
            self._sync()

    def _write(self, pieces: Pieces) -> None:
        assert self._fd is not None
        if not self._cut:
            os.ftruncate(self._fd, self._position)
            self._cut = True
        self._position = files.write_all(self._fd, pieces, self._position)

    async def sync(self) -> None:
        """Make what was written durable."""

        def work() -> None:
            with files.told("syncing bytes"):
                self._sync()

        await self._run(work)  # type: ignore[misc]

    def _sync(self) -> None:
        assert self._fd is not None
        files.sync_file(self._fd)
        if not self._named:
            files.sync_directory(os.path.dirname(self._path))
            self._named = True

    async def close(self) -> None:
        """Let the segment go: closing is quick, for it waits for no bytes."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


def _read(fd: int, start: int, length: int) -> bytes:
    with files.told("reading a file"):
        data = os.pread(fd, min(length, files.READ_BYTES), start)
    if not data:
        msg = "a file ends before its end"
        raise BytesLost(msg)
    return data


def _names(folder: Path) -> list[str]:
    with files.told("listing files"):
        return sorted(os.listdir(folder)) if folder.is_dir() else []


def _require(fd: int, length: int) -> os.stat_result:
    held = os.fstat(fd)
    if held.st_size < length:
        msg = "a segment has fewer bytes than were acknowledged"
        raise BytesLost(msg)
    return held


def _untouched(fd: int, path: str, length: int) -> bool:
    """Tell whether a segment that is held has so many bytes and no more, and its name: it may have been joined before."""
    held = _require(fd, length)
    try:
        return held.st_size == length and os.path.samestat(held, os.stat(path))
    except FileNotFoundError:
        return False


def _join(paths: list[str], lengths: list[int], target: str) -> None:
    """Append to the first segment while holding it; if somebody frozen still holds it, copy all of it instead.

    A crash leaves the first segment longer than its row says, or renamed; both are as good as before.
    """
    try:
        with files.opened(paths[0], os.O_RDWR) as fd:
            files.hold(fd)
            _require(fd, lengths[0])
            os.ftruncate(fd, lengths[0])
            rest = [(path, 0, length) for path, length in zip(paths[1:], lengths[1:], strict=True)]
            _append(rest, fd, lengths[0])
            _finish(fd, paths[0], target)
    except SegmentBusy:
        named = [(path, 0, length) for path, length in zip(paths, lengths, strict=True)]
        _compose(named, f"{paths[0]}.draft", target)


def _compose(sources: Iterable[tuple[str, int, int]], draft: str, target: str, flags: int = os.O_RDWR | os.O_CREAT) -> None:
    with files.opened(draft, flags) as fd:
        files.hold(fd)
        os.ftruncate(fd, 0)
        _append(sources, fd, 0)
        _finish(fd, draft, target)


def _append(sources: Iterable[tuple[str, int, int]], fd: int, position: int) -> None:
    """Copy stretches of files behind a position; what does not find room for all of it takes none."""
    end = position
    try:
        for path, start, length in sources:
            with files.opened(path, os.O_RDONLY) as source:
                files.copy_range(source, fd, start, length, end)
            end += length
    except OSError:
        os.ftruncate(fd, position)
        raise


def _finish(fd: int, path: str, target: str) -> None:
    """Give a finished file its name, if the name that was opened still is this file: another may have been quicker."""
    files.sync_file(fd)
    if not os.path.samestat(os.fstat(fd), os.stat(path)):
        msg = "somebody else finishes the file"
        raise SegmentBusy(msg)
    os.rename(path, target)
    files.sync_directory(os.path.dirname(target))
    files.sync_directory(os.path.dirname(path))


def _remove_all(paths: Iterable[str]) -> None:
    for path in paths:
        files.remove(path)
