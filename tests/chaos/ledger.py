"""What a client knows of its upload, and what no answer may contradict."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from tests.conformance.client import Answer

AWAY = frozenset({423, 503, 507})
"""Answers that ask a client to come again."""


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Tally:
    """What was done, for the report."""

    uploads: int = 0
    compared: int = 0
    """Bytes that were downloaded and are right."""
    requests: Counter[str] = field(default_factory=Counter)
    """Answers by method and status; "lost" where none came."""


@dataclass(eq=False)
class Upload:
    """One upload: its bytes, how many of them were ever put on a socket, and the highest offset that anybody saw.

    *whole* is what only a PATCH with a checksum brought, and it has not been answered: it counts whole or not at all.
    *doomed* is set when somebody took its parts away from outside: then, and only then, it may be gone.
    """

    data: bytes
    tally: Tally
    deferred: bool = False
    url: str = ""
    seen: int = 0
    sent: int = 0
    whole: tuple[int, int] | None = None
    doomed: bool = False
    deleted: bool = False
    finished: bool = False

    @property
    def id(self) -> str:
        """The last part of its URL."""
        return self.url[-32:]

    def saw(self, offset: int, before: int) -> None:
        """Hear an offset; *before* is the highest that was known when the question was asked."""
        if offset < before:
            self.violate(f"the offset fell from {before} to {offset}")
        if offset > self.sent:
            self.violate(f"the offset is {offset}, and only {self.sent} bytes were ever sent")
        if self.whole is not None and self.whole[0] < offset < self.whole[1]:
            self.violate(f"the offset {offset} lies in the middle of a body with a checksum, {self.whole}")
        self.seen = max(self.seen, offset)

    def heard(self, method: str, answer: Answer) -> None:
        """Take an answer; one that no fault excuses is a violation."""
        self.tally.requests[f"{method} {answer.status}"] += 1
        if answer.status in AWAY or answer.status < 300:
            return
        if answer.status == 404 and (self.doomed or self.deleted):
            return
        if method != "HEAD" and answer.status in {409, 460}:
            return
        self.violate(f"{method} was answered {answer.status}: {answer.body[:200]!r}")

    def got(self, data: bytes) -> None:
        """Compare a download."""
        if hashlib.sha256(data).digest() != hashlib.sha256(self.data).digest():
            at = next(
                (n for n, (a, b) in enumerate(zip(data, self.data, strict=False)) if a != b), min(len(data), len(self.data))
            )
            self.violate(f"of {len(self.data)} bytes {len(data)} came back, and byte {at} differs")
        self.tally.compared += len(data)
        self.finished = True

    def violate(self, what: str) -> None:
        """Break off."""
        raise Violation(f"{self.url}: {what}")
