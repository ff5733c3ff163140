"""What was acknowledged was synced before: the order of writes, syncs and commits, seen at the calls themselves."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tusfm.adapters.database_sqlite import Sqlite
from tusfm.domain.errors import BodyBroken, Fenced
from tusfm.domain.upload import ExtentKind, Upload
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.engine.segments import hold
from tusfm.ports.metadata import Claim
from tusfm.wiring import Engine

SYNCS = "fdatasync" if hasattr(os, "fdatasync") else "fsync"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Write down each write, sync, rename and commit in its order; a sync of a directory is another word."""
    said: list[str] = []

    def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            directory = name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")  # noqa: PTH112
            result = call(*arguments, **named)
            said.append("directory" if directory else name)
            return result

        return wrapped

    with monkeypatch.context() as patched:
        for name in {"pwritev", "rename", "fsync", SYNCS}:
            patched.setattr(os, name, around(name, getattr(os, name)))
        patched.setattr(Sqlite, "_commit", around("commit", Sqlite._commit))
        yield said


def synced(said: list[str], *, names: bool) -> bool:
    """Tell whether every write was synced before the next commit, and a new name with it."""
    dirty = unnamed = False
    for one in said:
        if one == "pwritev":
            dirty, unnamed = True, names
        elif one == SYNCS:
            dirty = False
        elif one == "directory":
            unnamed = False
        elif one == "commit" and (dirty or unnamed):
            return False
    return "commit" in said and "pwritev" in said


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("length", "pieces", "end"),
    [
        (5, [b"hello"], "well"),
        (100, [b"hello"], "well"),
        (10_000_000, [b"x" * 300_000] * 10, "well"),
        (3_000_000, [b"x" * 300_000] * 10, "well"),
        (10_000_000, [b"x" * 300_000] * 7, "broken"),
    ],
    ids=["a whole file", "a small piece", "a large piece", "the end", "a broken body"],
)
async def test_bytes_and_names_are_synced_before_their_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, pieces: list[bytes], end: str
) -> None:
    """No commit moves an offset over bytes, or to a file, that a loss of power could take."""
    size = sum(map(len, pieces)) + (end == "broken")
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            made = await engine.uploads.create(Creation(length=length))
            for task in engine._tasks:
                task.cancel()
            with recorded(monkeypatch) as said:
                body = PlayedBody(pieces, size=size, end=end)
                try:
                    await engine.uploads.append(Append(id=made.id, offset=0, body=body))
                except BodyBroken:
                    assert end == "broken"
            assert synced(said, names=True), said


async def test_a_file_has_its_name_before_it_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rename that makes the object, and the sync of its folder, come before the commit that says so."""
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            made = await engine.uploads.create(Creation(length=3_000_000))
            for task in engine._tasks:
                task.cancel()
            body = PlayedBody([b"x" * 300_000] * 10, size=3_000_000)
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            with recorded(monkeypatch) as said:
                await engine.finalizer.finalize(made.id)
    assert said.index("rename") < said.index("directory")
    assert "directory" not in said[len(said) - said[::-1].index("commit") :]


async def claimed(engine: Engine, upload: Upload) -> Upload:
    """Claim an upload, as a PATCH does."""
    taken = await engine.metadata.claim(Claim(id=upload.id, offset=upload.offset, writer="slow", expires_in=100))
    assert taken is not None
    return taken[0]


async def test_a_writer_that_was_slow_to_get_hold_of_a_segment_cuts_nothing(tmp_path: Path) -> None:
    """Between a claim and the hold another epoch may have appended to the segment, committed and let go: Fenced."""
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            made = await engine.uploads.create(Creation(length=1000))
            await engine.uploads.append(Append(id=made.id, offset=0, body=PlayedBody([b"abc"], size=3)))
            slow = await claimed(engine, await engine.uploads.find(made.id))
            stale = await engine.metadata.extents(made.id, ExtentKind.SEGMENT)
            await engine.uploads.append(Append(id=made.id, offset=3, body=PlayedBody([b"def"], size=3)))
            with pytest.raises(Fenced):
                await hold(engine.storage, engine.metadata, slow, stale[-1])  # type: ignore[arg-type]
            rest = PlayedBody(pieces_of(b"g" * 994, 100), size=994)
            await engine.uploads.append(Append(id=made.id, offset=6, body=rest))
            stored = await engine.uploads.open(made.id)
            assert b"".join([piece async for piece in stored.read(0, 1000)]) == b"abcdef" + b"g" * 994
