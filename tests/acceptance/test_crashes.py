"""SIGKILL at every point where bytes, names or rows are written: what was acknowledged is there, and the rest goes on."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashing import LARGE, SMALL
from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tusfm.domain.errors import NotFound
from tusfm.domain.upload import State
from tusfm.engine.appending import Append
from tusfm.engine.uploads import Uploads

ROOT = Path(__file__).parent.parent.parent
SHARES = 4  # tests among which the points are dealt out
Said = dict[str, list[tuple[str, int]]]


@pytest.fixture
def stories() -> Iterator[subprocess.Popen[str]]:
    """Start what runs stories; it ends with the test, and the story that it is at too."""
    command = [sys.executable, "-m", "tests.crashing"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
    ) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def tell(stories: subprocess.Popen[str], folder: Path, at: int) -> Said:
    """Run the story until its end, or the fatal point, and return what it acknowledged."""
    assert stories.stdin is not None
    assert stories.stdout is not None
    stories.stdin.write(f"{folder} {at}\n")
    said: Said = {}
    while "ended" not in said:
        what, name, number = stories.stdout.readline().split()
        said.setdefault(what, []).append((name, int(number)))
    assert said["ended"][0][1] in {0, -signal.SIGKILL}
    return said


async def content(uploads: Uploads, upload_id: str) -> bytes:
    """Read a finished upload."""
    stored = await uploads.open(upload_id)
    return b"".join([piece async for piece in stored.read(0, stored.size)])


def half_a_minute_passes(folder: Path) -> None:
    """Let the leases of the dead process run out, without waiting for it."""
    with contextlib.closing(sqlite3.connect(folder / "tusfm.sqlite3")) as database:
        database.execute("UPDATE uploads SET lease_until = 1, retry_at = 1 WHERE state = 'finalizing'")
        database.commit()


async def goes_on(folder: Path, said: Said) -> None:
    """Start again, hold everything against what was acknowledged, and finish what is unfinished."""
    half_a_minute_passes(folder)
    async with running({"TUSFM_DATA_DIR": str(folder)}) as engine:
        uploads = engine.uploads
        if "large" in said:
            upload_id, acknowledged = said["large"][-1]
            upload = await uploads.status(upload_id)
            assert acknowledged <= upload.offset <= len(LARGE)
            if upload.state is State.RECEIVING:
                rest = LARGE[upload.offset :]
                body = PlayedBody(pieces_of(rest, 200_000), size=len(rest))
                await uploads.append(Append(id=upload_id, offset=upload.offset, body=body))
            assert await content(uploads, upload_id) == LARGE
        if "deleted" in said:
            with pytest.raises(NotFound):
                await uploads.status(said["small"][0][0])
        if "final" in said:
            assert await content(uploads, said["final"][0][0]) == LARGE[:1_500_000]
        elif "small" in said and "partial" not in said:
            assert await content(uploads, said["small"][0][0]) == SMALL


@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", range(SHARES))
async def test_killed_at_every_point_nothing_acknowledged_is_lost(
    tmp_path: Path, share: int, stories: subprocess.Popen[str]
) -> None:
    """After SIGKILL at any point, and a new start, offsets are at least those acknowledged and files are right."""
    with migrated(tmp_path / "new"):
        shutil.copytree(tmp_path / "new", tmp_path / "whole")
    points = tell(stories, tmp_path / "whole", 0)["points"][0][1]
    assert points > 40
    for at in range(1 + share, points + 1, SHARES):
        folder = shutil.copytree(tmp_path / "new", tmp_path / str(at))
        await goes_on(folder, tell(stories, folder, at))
        shutil.rmtree(folder)
