"""What was acknowledged survives a loss of power: the order of the calls to the kernel, seen by strace."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conformance.client import Client, patch_head, path_of
from tests.conftest import missing
from tests.services.strace import Call, TracedServer

MB = 1_000_000
ENOUGH = 17_500_000  # of a fast sender's bytes to be synced before the end of its body
LENGTH = 22 * MB
FRAME = re.compile(r"\", 24[,)]")  # the head of a page in SQLite's log, which begins with the page's number
SYNCS = {"fsync", "fdatasync"}
NAMES = {"mkdir", "mkdirat", "rename", "renameat", "renameat2"}


@dataclass
class Trace:
    """The calls of a server, and which pages of its database hold what."""

    calls: Sequence[Call]
    pages: dict[str, set[int]]
    data: str

    def commits(self, table: str) -> list[Call]:
        """Return the syncs of SQLite's log that commit changes to a table."""
        found, pages = [], set()
        for call in self.calls:
            if "write" in call.name and "-wal>" in call.text and FRAME.search(call.text):
                pages.add(int.from_bytes(call.text.partition('"')[2][:4].encode("latin-1")))
            elif call.name in SYNCS and call.path.endswith("-wal"):
                if pages & self.pages[table]:
                    found.append(call)
                pages = set()
        return found

    def answer(self, status: int, offset: int) -> Call:
        """Return the first answer with this status and offset."""
        head = f"HTTP/1.1 {status}"
        found = [call for call in self.calls if head in call.text and f"Upload-Offset: {offset}\r" in call.text]
        return found[0]

    def syncs(self, chosen: Callable[[str], bool]) -> list[Call]:
        """Return the syncs of some files or folders."""
        return [call for call in self.calls if call.name in SYNCS and chosen(call.path)]

    def written(self, upload_id: str, before: Call) -> int:
        """Return the bytes of an upload that were written before a call began."""
        wrote = [one for one in self.calls if "writev" in one.name and upload_id in one.path and one.ended < before.began]
        return sum(one.result for one in wrote)

    def is_durable(self, upload_id: str, reached: int, table: str, answer: Call) -> bool:
        """Whether so many bytes were written before a sync, that ended before a commit, and that before the answer."""
        return any(
            self.written(upload_id, sync) >= reached and sync.ended < commit.began and commit.ended < answer.began
            for sync in self.syncs(lambda path: upload_id in path)
            for commit in self.commits(table)
        )

    def is_named(self, name: Call, table: str) -> bool:
        """Whether a new name's folder was synced before the first commit after it."""
        commits = [one for one in self.commits(table) if one.began > name.ended]
        folder = _target(name).rpartition("/")[0]
        return any(name.ended < sync.began and sync.ended < commits[0].began for sync in self.syncs(folder.__eq__))

    def names(self) -> list[Call]:
        """Return the calls that made files and folders of uploads, or moved them."""
        ours = [one for one in self.calls if one.result >= 0 and f"{self.data}/" in one.text and ".sqlite3" not in one.text]
        return [one for one in ours if one.name in NAMES or (one.name == "openat" and "O_CREAT" in one.text)]


def _target(name: Call) -> str:
    return name.path if name.name == "openat" else name.text.split('"')[-2]


def committed(database: Path, upload_id: str) -> int:
    """Read an upload's offset behind the server's back."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT upload_offset FROM uploads WHERE id = ?", [upload_id]).fetchone()[0])


async def becomes(database: Path, url: str, offset: int) -> None:
    """Wait until a checkpoint has counted so many bytes, of which no client knows."""
    async with asyncio.timeout(60):
        while committed(database, url[-32:]) < offset:
            await asyncio.sleep(0.02)


async def asked(client: Client, url: str, offset: int) -> None:
    """Ask until so many bytes are counted; the first answer may come before the server has read them."""
    async with asyncio.timeout(60):
        while (await client.head(url)).offset < offset:
            await asyncio.sleep(0.02)


def pages(database: Path) -> dict[str, set[int]]:
    """Tell on which pages the rows of tables lie, which are few, and in their indexes."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        found: dict[str, set[int]] = {}
        for table, page in connection.execute("SELECT tbl_name, rootpage FROM sqlite_master"):
            found.setdefault(table, set()).add(page)
        return found


async def uploaded(base: str, database: Path) -> tuple[str, str]:
    """Upload a file with its creation, and one whose bytes are counted at each of the occasions; returns their URLs."""
    async with Client([base]) as client, client.raw() as raw:
        small = await client.whole(b"x" * 1000)
        url = await client.made(LENGTH)
        assert (await client.patch(url, 0, b"x" * MB)).status == 204
        await raw.send(patch_head(path_of(url), MB, LENGTH - MB) + b"x" * ENOUGH)
        await becomes(database, url, 2 * MB)
        await asked(client, url, MB + ENOUGH)
        await raw.send(b"x" * MB)
        await asked(client, url, 2 * MB + ENOUGH)
        await raw.send(b"x" * MB)
        await becomes(database, url, 3 * MB + ENOUGH)
        await asked(client, url, 3 * MB + ENOUGH)
        await raw.send(b"x" * (LENGTH - 3 * MB - ENOUGH))
        assert (await raw.answer(60)).status == 204
        assert len(await client.content(url)) == LENGTH
    return small, url


@pytest.fixture
def traced(tmp_path: Path) -> TracedServer:
    """Make a server that is traced, where that may be done."""
    if shutil.which("strace") is None:
        missing("strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode:
        pytest.skip("nobody may be traced here")
    return TracedServer(tmp_path)


async def test_what_is_acknowledged_was_synced_before(traced: TracedServer) -> None:
    """Bytes and names are synced before the commit that counts them, and that before the answer: for a file that comes with
    its creation, at the end of a body, when enough has come, when somebody asks, when the sender stalls, and at the rename.
    """
    database = traced.data / "tusfm.sqlite3"
    with traced:
        small, url = await uploaded(traced.url, database)
        laid = pages(database)
    trace = Trace(traced.calls(), laid, str(traced.data))
    first = trace.answer(201, 1000)
    assert trace.is_durable(small[-32:], 1000, "uploads", first)
    for status, offset in [(204, MB), (200, MB + ENOUGH), (200, 2 * MB + ENOUGH), (200, 3 * MB + ENOUGH), (204, LENGTH)]:
        assert trace.is_durable(url[-32:], offset, "extents", trace.answer(status, offset)), offset
    commits = [one for one in trace.commits("extents") if one.began > first.ended]
    assert len(commits) >= len(("end", "enough", "asked", "stalled", "end", "renamed"))
    syncs = trace.syncs(lambda path: ".sqlite3" not in path)
    for before, after in pairwise(commits):
        assert any(before.ended < sync.began and sync.ended < after.began for sync in syncs), after
    names = trace.names()
    assert {"openat", "rename"} <= {one.name for one in names}
    for name in names:
        assert trace.is_named(name, "uploads" if name.ended < first.began else "extents"), name
