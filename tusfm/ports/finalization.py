"""To whom finished uploads and events are handed over."""

from collections.abc import Sequence
from typing import Protocol

from tusfm.ports.checks import Checks
from tusfm.ports.metadata import Pending


class Finalization(Protocol):
    """Finishes uploads in the background.

    What was submitted may be lost or done twice: the row's state and lease decide, and a sweep finds what nobody holds.
    """

    async def submit(self, upload_id: str) -> None:
        """Take the work; returns once it is safe with whoever does it, or raises Unavailable."""

    async def close(self) -> None:
        """End what is running here, and release everything."""

    def checks(self) -> Checks:
        """Reach whoever does the work."""


class EventLog(Protocol):
    """Tells the outside of changes, at least once each, in the order of the outbox as far as one process goes."""

    async def publish(self, events: Sequence[Pending]) -> None:
        """Return when all are safe with whoever listens, or raise Unavailable: they come again."""
