"""What the server tells of its work, to whoever watches it: metrics, traces, or nobody.

Promises of an implementer: no call fails, waits, or costs more than a few microseconds.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

CUT = 499
"""The status of a request whose connection ended without an answer; the number is nginx's."""


class Kind(StrEnum):
    """What sort of work a step is."""

    DATABASE = "database"
    S3 = "s3"
    FINALIZATION = "finalization"
    SWEEP = "sweep"


@dataclass(slots=True)
class Step:
    """A piece of work; *outcome* is what became of it, in a word of the few that its kind knows."""

    kind: Kind
    name: str
    outcome: str = "done"


@dataclass(slots=True)
class Exchange:
    """A request: its *route* is a template, never a path; *headers* are the client's; *status* is known at its end."""

    method: str
    route: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = CUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a process holds at one moment: requests, bytes of buffers and their limit, seconds that its loop is late."""

    requests: int
    memory: int
    budget: int
    late: float


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of several worker processes of one port this is, and the directory where all of them keep their figures."""

    place: int
    directory: Path


class Watch(Protocol):
    """Hears of the work. What is raised inside a context is counted as that exception, and goes on."""

    def exchange(self, exchange: Exchange) -> AbstractContextManager[object]:
        """Surround a request."""

    def step(self, step: Step) -> AbstractContextManager[object]:
        """Surround a piece of work."""

    def received(self, size: int) -> None:
        """So many bytes of bodies came in."""

    def stored(self, size: int) -> None:
        """So many bytes of uploads became durable: an offset moved."""

    def happened(self, event: str) -> None:
        """An upload changed: created, finished, failed, expired, terminated."""

    def waited(self, queue: str, seconds: float) -> None:
        """Something stood in a queue (outbox, finalization) for so long."""

    def swept(self, what: str) -> None:
        """A sweep did one thing: it looked at a key, or something expired, was renewed, freed, buried, or deleted."""

    def stands(self, standing: Standing) -> None:
        """See what the process holds now."""


class Unwatched:
    """Implements Watch where nobody looks."""

    def exchange(self, _: Exchange) -> AbstractContextManager[object]:
        """Do nothing around it."""
        return nullcontext()

    def step(self, _: Step) -> AbstractContextManager[object]:
        """Do nothing around it."""
        return nullcontext()

    def received(self, size: int) -> None:
        """Forget it."""

    def stored(self, size: int) -> None:
        """Forget it."""

    def happened(self, event: str) -> None:
        """Forget it."""

    def waited(self, queue: str, seconds: float) -> None:
        """Forget it."""

    def swept(self, what: str) -> None:
        """Forget it."""

    def stands(self, standing: Standing) -> None:
        """Forget it."""


UNWATCHED = Unwatched()
