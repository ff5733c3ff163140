"""Files that arrive in chunks: values and rules, free of I/O.

Such a file is an upload like others (`Role.CHUNKED`). Its chunks come in any order; completing it says what it is called,
who may read it and how many chunks it has, and then they are composed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tusfm.domain.upload import State

UPLOAD_SHAPE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
KEY_SHAPE = re.compile(r"(public|private)/[0-9a-f-]{36}\.[0-9a-z]{1,16}", re.ASCII)
EXTENSION = re.compile(r"[0-9a-z]{1,16}", re.ASCII)
MOST_ID = 36


class FileStatus(StrEnum):
    """Where a file stands."""

    PENDING = "PENDING"
    """Complete, and nobody has taken it in this round."""
    STARTED = "STARTED"
    """Somebody composes it, or has tried to."""
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What is said of a file when all its chunks were sent.

    Chunks 0 to *chunks* - 1, in this order, are the file; *size* is what the client takes for their sum in bytes. Without
    a *credential*, or with an empty one, the file is public. *detail* is kept and shown.
    """

    upload_id: str
    chunks: int
    size: int
    extension: str
    content_type: str
    credential: Mapping[str, str] | None = None
    detail: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What is known of a file; *path* is `BUCKET/UPLOAD_ID.EXTENSION`. *error* says why it is a FAILURE, to an operator.

    *key* is where its object is, or will be; *owner* is its upload's.
    *chunks* is None for a file that another service received.
    """

    id: str
    upload_id: str
    path: str
    content_type: str
    credential: Mapping[str, str] | None
    detail: Mapping[str, str] | None
    status: FileStatus
    key: str | None = None
    chunks: int | None = None
    size: int | None = None
    error: str | None = None
    owner: str | None = None

    @property
    def public(self) -> bool:
        """Whether anyone may read it."""
        return not self.credential

    @property
    def name(self) -> str:
        """Its path without the bucket."""
        return self.path.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk: *name* is random, and its objects, of *sizes* bytes each, are named for it."""

    index: int
    name: str
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(self.sizes)

    @property
    def keys(self) -> list[str]:
        """Its objects, in order."""
        return [chunk_key(self.name, number) for number in range(len(self.sizes))]


def chunk_key(name: str, number: int) -> str:
    """Name an object of a chunk."""
    return f"{chunk_prefix(name)}{number}"


def chunk_prefix(name: str) -> str:
    """Return what the keys of a chunk begin with."""
    return f"work/c/{name}/"


def fixed_key(completion: Completion) -> str:
    """Name the object of a file: all attempts to compose it share this key."""
    top = "private" if completion.credential else "public"
    return f"{top}/{completion.upload_id}.{completion.extension}"


def upload_of(key: str) -> str | None:
    """Return the upload that a file's key belongs to, None when it is not the key of one."""
    return key.partition("/")[2].partition(".")[0] if KEY_SHAPE.fullmatch(key) else None


def as_query(credential: Mapping[str, str], taken: Callable[[str], bool]) -> dict[str, str]:
    """Return the pairs as they may stand in a link's query: a name that means something there becomes `credential-NAME`."""
    pairs: dict[str, str] = {}
    for name, value in credential.items():
        shown = f"credential-{name}" if taken(name) else name
        while shown in pairs or (shown != name and shown in credential):
            shown = f"credential-{shown}"
        pairs[shown] = value
    return pairs


def status_of(state: State, attempts: int) -> FileStatus | None:
    """Tell the status of a file whose upload stands so; None when it is gone. *attempts* are those of this round."""
    if state is State.AVAILABLE:
        return FileStatus.SUCCESS
    if state is State.FAILED:
        return FileStatus.FAILURE
    if state in {State.RECEIVING, State.FINALIZING}:
        return FileStatus.STARTED if attempts else FileStatus.PENDING
    return None
