"""An upload as a frozen value, what it consists of, and the table of its states."""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

MAX_SIZE = 2**63 - 1  # what a signed 64-bit column holds; tus sets no limit of its own
ID_SHAPE = re.compile(r"[0-9a-f]{32}", re.ASCII)


class State(StrEnum):
    """Where an upload stands; TRANSITIONS has the only ways on."""

    RECEIVING = "receiving"
    FINALIZING = "finalizing"
    AVAILABLE = "available"
    FAILED = "failed"
    EXPIRED = "expired"
    TERMINATED = "terminated"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVING: frozenset(
        {State.FINALIZING, State.AVAILABLE, State.FAILED, State.EXPIRED, State.TERMINATED},
    ),
    State.FINALIZING: frozenset({State.AVAILABLE, State.FAILED, State.TERMINATED}),
    State.AVAILABLE: frozenset({State.EXPIRED, State.TERMINATED}),
    State.FAILED: frozenset({State.FINALIZING, State.EXPIRED, State.TERMINATED}),
    State.EXPIRED: frozenset({State.TERMINATED}),
    State.TERMINATED: frozenset(),
}
LIVE = frozenset({State.RECEIVING, State.FINALIZING, State.AVAILABLE})
"""States in which a client may still see the upload; all others are 404 to it."""


class Role(StrEnum):
    """What an upload is to a concatenation, and whether its bytes come in chunks of any order."""

    WHOLE = "whole"
    PARTIAL = "partial"
    FINAL = "final"
    CHUNKED = "chunked"


class ExtentKind(StrEnum):
    """What holds a stretch of an upload's bytes."""

    PIECE = "piece"
    PART = "part"
    TAIL = "tail"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of an upload's bytes, [start, start + length), and where storage has it.

    *key* is the object, or the key of the multipart upload that a part belongs to; *number* and *etag* are a part's.
    """

    kind: ExtentKind
    start: int
    length: int
    key: str
    number: int = 0
    etag: str = ""

    @property
    def end(self) -> int:
        """The first byte behind the extent."""
        return self.start + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One row: what the database says of an upload at one moment.

    Sizes are bytes, times are milliseconds since 1970 by the database's clock, *seen_at* among them.
    *metadata* and *concat* are the headers as the client gave them.
    *revision* counts the chunks that it was ever given.
    *writer* names the process that receives bytes for it now, and *writer_alive* says whether its heartbeat is fresh.
    *owner* is who made it, None where nobody was asked; *size_limit* (bytes) and *lifetime* (seconds) are the owner's own
    limits; *charged* are the bytes for which it counts in the accounts, None where nobody keeps any.
    """

    id: str
    state: State
    role: Role
    epoch: int
    offset: int
    length: int | None
    metadata: str
    concat: str | None
    object_key: str | None
    multipart: str | None
    multipart_at: int | None
    next_part: int
    writer: str | None
    writer_alive: bool
    wanted: bool
    lease: int
    attempts: int
    error: str | None
    created_at: int
    expires_at: int | None
    finished_at: int | None
    seen_at: int
    revision: int = 0
    owner: str | None = None
    size_limit: int | None = None
    lifetime: float | None = None
    charged: int | None = None

    @property
    def expired(self) -> bool:
        """Whether its time had passed when the row was read."""
        if self.state is State.EXPIRED:
            return True
        return self.state is State.RECEIVING and self.expires_at is not None and self.expires_at <= self.seen_at

    @property
    def gone(self) -> bool:
        """Whether a client is told that there is no such upload."""
        return self.state not in LIVE or self.expired


def new_id() -> str:
    """Make a name that cannot be guessed: 128 random bits in hexadecimal. Ids are never used twice."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Tell whether the text has the one shape that ids have."""
    return ID_SHAPE.fullmatch(text) is not None
