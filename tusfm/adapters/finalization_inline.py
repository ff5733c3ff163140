"""Finalization in the server's own process, and events into its log: the embedded stack."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from tusfm.domain.errors import TusfmError
from tusfm.engine.events import told
from tusfm.ports.checks import Checks
from tusfm.ports.metadata import Pending
from tusfm.ports.watching import UNWATCHED, Watch

AT_ONCE = 4

log = logging.getLogger("tusfm.events")


class InlineFinalization:
    """Runs each attempt as a task of the loop; what a process that died had taken, the row gives to the next one."""

    def __init__(self, watch: Watch = UNWATCHED) -> None:
        """Begin without anybody to make attempts; the composition root sets *finalize*."""
        self._watch = watch
        self.finalize: Callable[[str], Awaitable[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def submit(self, upload_id: str) -> None:
        """Begin an attempt, or queue it."""
        task = asyncio.create_task(self._attempt(upload_id, time.monotonic()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is running: the row gives it to the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def checks(self) -> Checks:
        """Nobody has to be reached."""
        return []

    async def _attempt(self, upload_id: str, submitted: float) -> None:
        assert self.finalize is not None
        async with self._at_once:
            self._watch.waited("finalization", time.monotonic() - submitted)
            try:
                await self.finalize(upload_id)
            except TusfmError as error:
                log.info("upload %s is finished later: %s", upload_id, error)


class LoggedEvents:
    """Writes each event to the log; without metadata, which is the users' own, unless that is asked for."""

    def __init__(self, *, metadata: bool = False) -> None:
        """Say whether metadata is written too."""
        self._hidden = set() if metadata else {"metadata"}

    async def publish(self, events: Sequence[Pending]) -> None:
        """Write a line an event."""
        for one in events:
            log.info("%s", json.dumps({key: value for key, value in told(one).items() if key not in self._hidden}))
