"""Raw operations on files, synchronous: what makes bytes and names durable, and how bytes move between files.

Linux and macOS differ in what they offer; each choice is made once, when this module is loaded.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence

from tusfm.domain.errors import BytesLost, SegmentBusy, StorageFull, StorageUnavailable

COPY_BYTES = 8 * 1024 * 1024
RESERVE_BYTES = 16 * 1024 * 1024
"""Left free on the disk, for the database on it: its commits count the bytes, and only they give room back by a deletion."""
READ_BYTES = 256 * 1024
IOV_MAX = min(os.sysconf("SC_IOV_MAX"), 1024)
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_COPIED_HERE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}

Bytes = bytes | bytearray | memoryview


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn an OSError into the storage's own errors; the text names no path."""
    try:
        yield
    except FileNotFoundError as error:
        msg = f"bytes are missing while {doing}"
        raise BytesLost(msg) from error
    except OSError as error:
        kind = StorageFull if error.errno in FULL else StorageUnavailable
        msg = f"the storage directory failed while {doing}: {error.strerror}"
        raise kind(msg) from error


def sync_file(fd: int) -> None:
    """Make a file's bytes, and as much of its metadata as reading them takes, survive a loss of power."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync leaves the bytes in the drive's cache
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a loss of power."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def require_room(fd: int, size: int) -> None:
    """Refuse what would fill an open file's disk. OSError: no space."""
    disk = os.fstatvfs(fd)
    if disk.f_bavail * disk.f_frsize < size + RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_all(fd: int, pieces: Sequence[Bytes], position: int) -> int:
    """Write pieces one after another from a position on, without joining them; returns the position behind them. OSError."""
    require_room(fd, sum(map(len, pieces)))
    for start in range(0, len(pieces), IOV_MAX):
        position = _write_some(fd, [memoryview(piece) for piece in pieces[start : start + IOV_MAX]], position)
    return position


def _write_some(fd: int, views: list[memoryview], position: int) -> int:
    while views:
        written = os.pwritev(fd, views, position) if hasattr(os, "pwritev") else os.pwrite(fd, views[0], position)
        position += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]
    return position


def hold(fd: int) -> None:
    """Take the kernel's lock on an open file, which ends with the process at the latest. SegmentBusy."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        msg = "another writer holds the segment"
        raise SegmentBusy(msg) from error


def copy_range(source: int, target: int, start: int, length: int, position: int) -> None:
    """Copy bytes between files, inside the kernel where it can. BytesLost when the source ends early."""
    require_room(target, length)
    copies = hasattr(os, "copy_file_range")
    while length:
        step = min(length, COPY_BYTES)
        if copies:
            try:
                done = os.copy_file_range(source, target, step, start, position)
            except OSError as error:
                if error.errno not in NOT_COPIED_HERE:
                    raise
                copies = False
                continue
        else:
            data = os.pread(source, step, start)
            done = write_all(target, [data], position) - position
        if not done:
            msg = "a file has fewer bytes than were acknowledged"
            raise BytesLost(msg)
        start, position, length = start + done, position + done, length - done


@contextlib.contextmanager
def opened(path: str, flags: int) -> Iterator[int]:
    """Open a file for a while."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o640)
    try:
        yield fd
    finally:
        os.close(fd)


def size_of(path: str) -> int | None:
    """Return a file's size in bytes, None when it is not there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def remove(path: str) -> None:
    """Unlink a file; one that is not there is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
