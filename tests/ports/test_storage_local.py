"""What only a directory has."""

import errno
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.ports.conftest import content, file_key
from tusfm.adapters.storage_local import LocalStorage
from tusfm.domain.errors import StorageUnavailable


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[LocalStorage]:
    """Open a directory."""
    storage = LocalStorage(folder)
    try:
        await storage.start()
        yield storage
    finally:
        await storage.close()


class TestLocal:
    """What only a directory has."""

    @pytest.mark.parametrize(
        "key", ["", "x", "other/a", "files/../a", "files/a/..", "/files/a", "files//a", "files/a b", "files/\0"]
    )
    async def test_a_key_of_another_shape_is_refused(self, tmp_path: Path, key: str) -> None:
        """No key leads out of the directory."""
        async with local(tmp_path) as storage:
            with pytest.raises(ValueError, match="not a key"):
                storage.path(key)

    async def test_a_key_is_written_once(self, tmp_path: Path) -> None:
        """A second put of a key fails, and the first stays."""
        async with local(tmp_path) as storage:
            key = file_key()
            await storage.put(key, [b"first"])
            with pytest.raises(StorageUnavailable):
                await storage.put(key, [b"second"])
            assert await content(storage, key, 0, 5) == b"first"

    async def test_errors_name_no_path(self, tmp_path: Path) -> None:
        """What goes wrong is a sentence without a path."""
        async with local(tmp_path / "store") as storage:
            for top in ("work", "files"):
                (tmp_path / "store" / top).rename(tmp_path / top)
            for call in (storage.put(file_key(), [b"x"]), storage.checks()[0][1]()):
                with pytest.raises(StorageUnavailable) as raised:
                    await call
                assert str(tmp_path) not in str(raised.value)

    async def test_a_directory_that_is_gone_has_lost_nothing(self, tmp_path: Path) -> None:
        """A disk that is not mounted is StorageUnavailable, whatever is asked; when it is back all is there."""
        async with local(tmp_path / "store") as storage:
            key = file_key()
            await storage.put(key, [b"abc"])
            (tmp_path / "store").rename(tmp_path / "elsewhere")
            calls: list[Awaitable[object]] = [storage.size(key), content(storage, key, 0, 3), storage.open("work/a/s/1", 3)]
            for call in calls:
                with pytest.raises(StorageUnavailable, match="not there"):
                    await call
            (tmp_path / "elsewhere").rename(tmp_path / "store")
            assert await content(storage, key, 0, 3) == b"abc"

    async def test_a_full_disk_does_not_stop_the_start(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no folder can be made the server starts all the same, and each request says why it is refused."""

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "mkdir", full)
        async with local(tmp_path / "store") as storage:
            with pytest.raises(StorageUnavailable, match="not there"):
                await storage.put(file_key(), [b"x"])
