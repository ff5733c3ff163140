"""What a client knows of its upload, and what no answer may contradict."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from tests.conformance.client import Answer

AWAY = frozenset({423, 503, 507})
"""Answers that ask a client to come again."""
MARKS = 256


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Tally:
    """What was done, for the report."""

    uploads: int = 0
    files: int = 0
    """Those that came in chunks."""
    compared: int = 0
    """Bytes that were downloaded and are right."""
    requests: Counter[str] = field(default_factory=Counter)
    """Answers by method and status; "lost" where none came."""
    aborted: set[str] = field(default_factory=set)
    """Ids of uploads whose multipart upload was aborted from outside."""
    unknown: int = 0
    """Those of them that no client had been told of: each may be a creation that is answered 404."""


@dataclass(eq=False)
class Upload:
    """One upload: its bytes, how many of them were ever put on a socket, and the highest offset that anybody saw.

    *home* is the server that it keeps to, until that one is gone.
    *starts* of its requests, the creation's first, where no two of them send the same bytes: a byte tells who brought it.
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
    home: str = ""
    starts: list[int] | None = None

    @property
    def id(self) -> str:
        """The last part of its URL."""
        return self.url[-32:]

    def write(self, start: int, size: int) -> bytes:
        """Make the body of a request: the source's bytes, or others that only it sends."""
        data = self.data[start : start + size]
        if self.starts is None:
            return data
        self.starts.append(start)
        return _marked(data, len(self.starts) - 1)

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
        if answer.status in ({423} if method == "HEAD" else AWAY) or answer.status < 300:
            return
        if answer.status == 404 and (self.doomed or self.deleted or self._aborted_at_birth()):
            return
        if method != "HEAD" and answer.status in {409, 460}:
            return
        self.violate(f"{method} was answered {answer.status}: {answer.body[:200]!r}")

    def _aborted_at_birth(self) -> bool:
        """Whether its parts were taken away before its creation was answered."""
        if self.url or not self.tally.unknown:
            return False
        self.tally.unknown -= 1
        return True

    def got(self, data: bytes) -> None:
        """Compare a download."""
        if self.starts is not None and len(data) == len(self.data):
            self._unmixed(data, self.starts)
            self.data, self.starts = data, None
        if hashlib.sha256(data).digest() != hashlib.sha256(self.data).digest():
            at = next(
                (n for n, (a, b) in enumerate(zip(data, self.data, strict=False)) if a != b), min(len(data), len(self.data))
            )
            self.violate(f"of {len(self.data)} bytes {len(data)} came back, and byte {at} differs")
        self.tally.compared += len(data)
        self.finished = True

    def _unmixed(self, data: bytes, starts: Sequence[int]) -> None:
        """See that each request brought the bytes from where it began to where another one went on."""
        brought = None
        for start, end in itertools.pairwise(sorted({*starts, len(data)})):
            mark = (data[start] - self.data[start]) % MARKS
            if mark != brought and start not in starts[mark::MARKS]:
                self.violate(f"byte {start} is of a request that did not begin there")
            if data[start:end] != _marked(self.data[start:end], mark):
                self.violate(f"bytes {start} to {end} are not those of one request")
            brought = mark

    def violate(self, what: str) -> NoReturn:
        """Break off."""
        raise Violation(f"{self.url}: {what}")


def _marked(data: bytes, request: int) -> bytes:
    """Turn a source's bytes into those that only one request sends."""
    return data.translate(bytes((byte + request) % MARKS for byte in range(256)))


@dataclass(eq=False)
class ChunkedFile:
    """A file in chunks: of each index what it may hold, which is the chunk that was answered 200 last.

    A request that was not answered may have been taken, or will be when a server that stood still reads it.
    *lacking* is a chunk that was not sent yet: without it, and only then, the file is a FAILURE.
    """

    upload_id: str
    count: int
    credential: dict[str, str] = field(default_factory=dict)
    lacking: int | None = None
    id: str = ""
    finished: bool = False

    def __post_init__(self) -> None:
        """Begin without a chunk."""
        self._may: list[set[bytes]] = [set() for _ in range(self.count)]
        self._lost: list[set[bytes]] = [set() for _ in range(self.count)]

    def sent(self, index: int, data: bytes, status: int | None) -> None:
        """Take what became of a chunk; None: no answer came."""
        if status is None or status in AWAY:
            self._lost[index].add(data)
            self._may[index].add(data)
        elif status == 200:
            self._may[index] = {data, *self._lost[index]}
        elif status != 422 or not self.id:
            self.violate(f"a chunk was answered {status}")

    def may_be(self, content: bytes) -> bool:
        """Whether these are its chunks, in order and whole."""
        ends = {0}
        for choices in self._may:
            ends = {end + len(one) for end in ends for one in choices if content.startswith(one, end)}
        return len(content) in ends

    def violate(self, what: str) -> NoReturn:
        """Break off."""
        raise Violation(f"the file {self.id} of the upload {self.upload_id}: {what}")
