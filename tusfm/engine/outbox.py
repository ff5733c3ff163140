"""From the outbox to whoever listens: messages go out at once, and again until they were taken (promise 8)."""

import asyncio
import logging
from typing import Protocol

from tusfm.domain.errors import Unavailable
from tusfm.engine.events import FINALIZE
from tusfm.ports.finalization import EventLog, Finalization
from tusfm.ports.metadata import Metadata

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 1.0
GATHER_SECONDS = 0.02  # so that a burst of small files shares its transactions
AT_ONCE = 500

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """What the engine says to it."""

    def kick(self) -> None:
        """There are new messages."""


class Dispatcher:
    """Hands messages over, and confirms those that were taken."""

    def __init__(self, metadata: Metadata, process: str, finalization: Finalization, events: EventLog) -> None:
        """Take the ports, and this process's name: its own messages go at once, others' after 5 seconds."""
        self._metadata = metadata
        self._process = process
        self._finalization = finalization
        self._events = events
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """There are new messages."""
        self._kicked.set()

    async def run(self) -> None:
        """Dispatch for as long as the process lives."""
        while True:
            try:
                while await self.dispatch():
                    pass
            except Unavailable as error:
                log.debug("the outbox waits: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)  # new messages come all the time, and must not hurry it
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._kicked.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)
        self._kicked.clear()

    async def dispatch(self) -> bool:
        """Hand over what is there; True when there may be more. Unavailable: what was not confirmed is handed over again."""
        pending = await self._metadata.pending(self._process, AT_ONCE)
        events = [one for one in pending if one.message.kind != FINALIZE]
        if events:
            await self._events.publish(events)
            await self._metadata.confirm([one.number for one in events])
        work = [one for one in pending if one.message.kind == FINALIZE]
        for one in work:
            await self._finalization.submit(one.message.upload_id)
        await self._metadata.confirm([one.number for one in work])
        return len(pending) == AT_ONCE
