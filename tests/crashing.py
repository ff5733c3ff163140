"""Processes that are killed at the Nth point at which bytes, names or rows are written.

    python -m tests.crashing

Each line of its input, a folder and N, makes a process that runs a fixed story on the engine and says on the output what was
acknowledged; how the process ended is the last line. Every write, sync, truncation, rename and unlink, and every COMMIT, is a
point, once before and once after it. With N = 0 the story runs to its end and says how many points there are.
The processes are forked, since each would spend most of its time on imports.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import running
from tusfm.adapters.database_sqlite import Sqlite
from tusfm.domain.upload import Role
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation

CALLS = ("pwritev", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "copy_file_range")
LARGE = random.Random(0).randbytes(3_300_000)
SMALL = b"small file"


class Killer:
    """Counts points, and ends the process at one of them."""

    def __init__(self, at: int) -> None:
        """Take the number of the fatal point; 0 for none."""
        self.at = at
        self.count = 0

    def point(self) -> None:
        """Pass a point, or die."""
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Put a point before and after a call."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.point()
            result = call(*arguments, **named)
            self.point()
            return result

        return wrapped

    def arm(self) -> None:
        """Put points around everything that writes."""
        for name in CALLS:
            if hasattr(os, name):
                setattr(os, name, self.around(getattr(os, name)))
        Sqlite._commit = self.around(Sqlite._commit)  # type: ignore[method-assign]


def say(*words: object) -> None:
    """Acknowledge something, so that whoever watches has it before the next point."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def story(folder: Path, killer: Killer) -> None:
    """Upload by small and large PATCHes, broken ones and takeovers; a small file at once; a final of two partials; delete."""
    async with running({"TUSFM_DATA_DIR": str(folder)}) as engine:
        killer.arm()
        uploads = engine.uploads
        small = await uploads.create(Creation(length=len(SMALL), body=PlayedBody([SMALL], size=len(SMALL))))
        say("small", small.id, small.offset)
        made = await uploads.create(Creation(length=len(LARGE)))
        say("large", made.id, 0)
        offset = 0
        for size, end in ((100, "well"), (200_000, "well"), (1_400_000, "broken"), (1_100_000, "well"), (50, "broken")):
            body = PlayedBody(
                pieces_of(LARGE[offset : offset + size], 65_536),
                size=size if end == "well" else size + 1,
                end=end,
            )
            try:
                offset = (await uploads.append(Append(id=made.id, offset=offset, body=body))).offset
            except Exception:  # noqa: BLE001  a body that broke off
                offset = (await uploads.status(made.id)).offset
            say("large", made.id, offset)
        rest = LARGE[offset:]
        await uploads.append(Append(id=made.id, offset=offset, body=PlayedBody([rest], size=len(rest))))
        say("large", made.id, len(LARGE))
        await uploads.open(made.id)
        await concatenate(engine.uploads)
        await uploads.terminate(small.id)
        say("deleted", small.id, 0)


async def concatenate(uploads: Any) -> None:
    """Make a final of two partials."""
    ids = []
    for start, end in ((0, 1000), (1000, 1_500_000)):
        body = PlayedBody(pieces_of(LARGE[start:end], 65_536), size=end - start)
        partial = await uploads.create(Creation(length=end - start, role=Role.PARTIAL, concat="partial", body=body))
        say("partial", partial.id, partial.offset)
        ids.append(partial.id)
    final = await uploads.concatenate(Creation(length=None, role=Role.FINAL, concat="final;"), ids)
    say("final", final.id, 0)
    await uploads.open(final.id)


def run(folder: Path, at: int) -> None:
    """Run the story in a process of its own, and say how that ended."""
    child = os.fork()
    if child == 0:
        killer = Killer(at)
        asyncio.run(story(folder, killer))
        say("points", "-", killer.count)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    say("ended", "-", os.waitstatus_to_exitcode(status))


def main() -> None:
    """Run the story as often as is asked."""
    for line in sys.stdin:
        folder, _, at = line.rpartition(" ")
        run(Path(folder), int(at))


if __name__ == "__main__":
    main()
