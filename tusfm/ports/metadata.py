"""What is known of uploads: the rows, and the only transactions that change them.

Promises:
- Each method is one transaction, and begins with one conditional UPDATE (or INSERT) that decides; times in conditions are
  the database's own clock, read in the statement.
- When a method has returned, what it did survives the loss of power and is seen by every process.
- A transaction whose COMMIT was not answered is sent again; its condition makes that harmless, and if it then finds no row,
  the row tells whether it had been done. Where that cannot be found out, OutcomeUnknown: keep every object.
- MetadataUnavailable is a failure that may pass, and a sure rollback. Deadlocks and lost connections before COMMIT are tried
  again here, for a few seconds at most.
- Fenced means: the row is not as the caller's epoch (or lease) has it; nothing was changed, and the caller stops.
- A change of state and its messages are written together, or neither.
- Where quotas are set, what an upload adds to its owner's account, and to that of all, is charged in the transaction of its
  creation (its length; without one, steps, in the claim or the commit that needs the next) and given back in that of its end.
  OverQuota: nothing was changed. Commits in between touch no account.

`docs/reliability.md` shows what goes wrong where a condition is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tusfm.domain.upload import Extent, ExtentKind, Role, State, Upload
from tusfm.ports.access import Keys
from tusfm.ports.checks import Checks
from tusfm.ports.storage import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A row of the outbox: an event for the outside, or (kind "finalize") work for whoever finalizes.

    *id* is stable over repeated deliveries; *body* is what consumers see, without the time, which the database adds.
    """

    id: str
    kind: str
    upload_id: str
    body: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A message that was not confirmed yet; *number* is its place in the outbox, *at* when it was written (ms)."""

    number: int
    at: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What a creation says. With *writer* it is the first claim too: epoch 1 instead of 0.

    *owner*, *size_limit* and *lifetime* as domain.upload.Upload has them.
    """

    id: str
    length: int | None
    metadata: str
    role: Role = Role.WHOLE
    concat: str | None = None
    expires_in: float | None = None
    writer: str | None = None
    answers: bool = True
    owner: str | None = None
    size_limit: int | None = None
    lifetime: float | None = None
    messages: Sequence[Message] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a PATCH needs to be true to become the writer.

    *size* is the body's length if it is known; *length* a length that it declares (set here, and only if it lies above the
    offset); *limit* the most bytes that an upload of undeclared length may have. The row's own size limit holds too, and
    its lifetime comes before *expires_in*.
    *answers* False: this writer cannot checkpoint when it is asked (its checksum is not known to be right yet).
    """

    id: str
    offset: int
    writer: str
    size: int | None = None
    length: int | None = None
    limit: int | None = None
    expires_in: float | None = None
    answers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A checkpoint: the offset moves from *offset* to *reached* together with the extents that hold the bytes.

    Compared and set on (*epoch*, *offset*, state receiving, not expired). *remove* goes before *add*; an extent in both (same
    kind and start) is changed in place. With *state* the upload leaves `receiving` and the epoch is raised, so that no late
    writer finds its own. With *seizes* the commit is its own claim: the epoch that it saw is raised by it.
    *reserve* adds part numbers to the upload's count (a negative number gives back those that no part was sent under, which
    only the epoch's holder knows); *releases* says that the writer is done.
    *length* is set if it was not known (the same again is fine). *settles* says that the upload is charged to its owner's
    account, and that this commit may change for how much.
    """

    id: str
    epoch: int
    offset: int
    reached: int
    add: Sequence[Extent] = ()
    remove: Sequence[Extent] = ()
    length: int | None = None
    state: State | None = None
    object_key: str | None = None
    reserve: int = 0
    seizes: bool = False
    releases: bool = False
    settles: bool = False
    expires_in: float | None = None
    messages: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What the row says to a writer of this process: whether a checkpoint is wanted, and the epoch and state as they are."""

    id: str
    epoch: int
    state: State
    wanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which uploads are wanted, the newest first.

    *older* and *younger* are ages in seconds, *smallest* and *largest* bytes of the length, or of what has come while that
    is not known; *before* is (created_at, id) of the last one that was seen.
    """

    states: Sequence[State] = ()
    owner: str | None = None
    older: float | None = None
    younger: float | None = None
    smallest: int | None = None
    largest: int | None = None
    before: tuple[int, str] | None = None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """A deployment at one moment: uploads by state, how many of them could not be finished twice or more often.

    *messages* stand in the outbox, the oldest of them for *oldest* seconds.
    """

    uploads: Mapping[State, int]
    failing: int
    messages: int
    oldest: float


class Receiving(Protocol):
    """Transactions on the path of an upload."""

    async def create(self, new: NewUpload) -> Upload:
        """Insert the row, before any object of the upload exists."""

    async def find(self, upload_id: str) -> Upload | None:
        """Read the row in one query, whatever its state."""

    async def extents(self, upload_id: str, *kinds: ExtentKind) -> list[Extent]:
        """Read the extents of these kinds (all without any), in order of their start."""

    async def claim(self, claim: Claim) -> tuple[Upload, list[Extent]] | None:
        """Take the upload: raise its epoch where it is receiving, not expired, not a final, and has the claim's offset.

        Returns the row and its tails and segments; None when the condition does not hold (the caller reads why).
        """

    async def reserve(self, upload_id: str, epoch: int, count: int) -> int:
        """Take *count* part numbers under the epoch and return the first. Fenced."""

    async def begin_multipart(self, upload_id: str, epoch: int, key: str, multipart: str, reserve: int) -> int:
        """Record the multipart upload under the epoch, where none is recorded, and reserve its first numbers.

        Returns the first of them. Fenced: the caller aborts it.
        """

    async def turn(self, upload_id: str, epoch: int, multipart: str, piece: Extent | None) -> None:
        """Replace the multipart upload's parts by the piece that it became (None: it had none), and number from 1 again.

        A piece of length 0 names an object whose bytes do not count yet, so that no sweep takes it. Fenced.
        """

    async def commit(self, commit: Commit) -> None:
        """Move the offset. Fenced when the epoch, the offset or the state is another, or the upload has expired."""

    async def release(self, upload_id: str, epoch: int) -> None:
        """Say that the writer is gone, if it is still this one."""

    async def lose(self, upload_id: str, epoch: int, error: str, messages: Sequence[Message]) -> None:
        """Bytes are gone from storage for good: receiving → failed under the epoch. Fenced."""

    async def ask(self, upload_id: str) -> bool:
        """Ask the writer, wherever it runs, for a checkpoint; False when there is none that answers."""

    async def heard(self, process: str) -> list[Heard]:
        """One query: all uploads that this process is the writer of, asked or not."""

    async def beat(self, process: str) -> None:
        """Renew this process's heartbeat; it stays fresh for 5 seconds."""

    async def touch(self, process: str, expires_in: float | None) -> None:
        """Put off the expiry of all that this process is the writer of: a running request counts as a byte (rule E3).

        A row's own lifetime comes before *expires_in*. What has expired stays so.
        """


class Ending(Protocol):
    """Transactions of finalization, deletion, expiry and concatenation."""

    async def take(self, upload_id: str) -> Upload | None:
        """Take the lease of 30 seconds on a `finalizing` upload that nobody holds and whose pause is over; None else.

        The row's *lease* is the token.
        """

    async def renew(self, upload_id: str, lease: int) -> None:
        """Hold the lease for 30 seconds more. Fenced."""

    async def publish(self, upload_id: str, lease: int, object_key: str, messages: Sequence[Message]) -> None:
        """Finalizing → available under the lease. Fenced."""

    async def fail(
        self, upload_id: str, lease: int, error: str, expires_in: float | None, messages: Sequence[Message]
    ) -> None:
        """Finalizing → failed under the lease, for a lasting cause; the row, and what is left, stay so long. Fenced."""

    async def postpone(self, upload_id: str, lease: int, error: str, pause: float) -> None:
        """Let the lease go and stand still for *pause* seconds; the error stays in the row. Fenced."""

    async def unfinished(self, limit: int) -> list[str]:
        """Finalizing uploads whose lease nobody holds and whose pause is over."""

    async def composing(self, upload_id: str, lease: int, key: str, multipart: str) -> None:
        """Record, under the lease, the multipart upload into which an object is composed. Fenced."""

    async def composed(self, upload_id: str, lease: int, part: Part) -> None:
        """Record a part that was copied, so that the next holder goes on behind it. Fenced."""

    async def parts_composed(self, upload_id: str, lease: int) -> list[Part]:
        """Parts recorded for the multipart upload that the row names."""

    async def settled(self, upload_ids: Sequence[str]) -> set[str]:
        """Those of the uploads that are no longer `finalizing`; one query."""

    async def terminate(self, upload_id: str, message: Message | None, *, finished: bool = True) -> Upload | None:
        """Any live state → terminated, epoch and lease raised, so that no writer and no finalizer goes on.

        Its unfinished finals fail in the same transaction. With *finished* False only an upload that still receives.
        Returns the row as it was; None when it was not there.
        """

    async def expire(self, upload_id: str, message: Message) -> Upload | None:
        """Receiving (or failed) → expired where its time has passed; else like terminate."""

    async def discard(self, upload_id: str) -> None:
        """Take back a creation that came to nothing and was terminated: the row goes whole, once its objects are gone."""

    async def concatenate(self, new: NewUpload, partials: Sequence[str], limit: int | None) -> Upload:
        """Create a final of these partials, in this order, with their rows locked (by id, in order).

        The same list with the same metadata gives the live final that is there. NotFound when one is gone or another owner's,
        BadConcatenation when one is no partial, TooLarge when the lengths known so far add up to more than *limit*.
        It is created `receiving`; *new.length* is ignored, and the sum stands in the row when every length is known.
        """

    async def partials(self, final_id: str) -> list[Upload]:
        """The partials of a final, in order, repeated ones too; one query."""

    async def finals(self, partial_id: str) -> list[str]:
        """Ids of the `receiving` finals that name this partial."""

    async def ripe(self, limit: int) -> list[str]:
        """Finals that are `receiving` though all their partials are available: someone died in between."""

    async def ripen(self, final_id: str, limit: int | None, messages: Sequence[Message]) -> bool:
        """Receiving → finalizing, with its length and offset, once all partials are available; False before.

        A sum over *limit*, over the row's own size limit or over a quota makes it `failed` instead, without messages.
        """

    async def free(self, partial_id: str) -> Upload | None:
        """Available partial → terminated, if every final that names it is available for an hour or gone, and one does.

        Returns the row as it was, None when it may not be freed.
        """


class Sweeping(Protocol):
    """What is looked at from time to time."""

    async def overdue(self, limit: int) -> list[str]:
        """Uploads whose time has passed: unfinished ones, and finished partials that no unfinished final uses."""

    async def worn(self, age: float, limit: int) -> list[Upload]:
        """Idle uploads whose multipart upload began *age* seconds ago, or earlier."""

    async def seize(self, upload_id: str, epoch: int) -> None:
        """Raise the epoch of an idle upload that is still receiving under this one. Fenced: somebody writes."""

    async def freeable(self, limit: int) -> list[str]:
        """Available partials whose finals are done for an hour; `free` decides."""

    charges: bool
    """Whether quotas are set, and uploads are charged to accounts."""

    async def charge_older(self, limit: int) -> int:
        """Charge for uploads that were made before quotas were set; returns how many there were."""

    async def tombstones(self, limit: int) -> list[Upload]:
        """The oldest terminated and expired rows, at most *limit* of each, for another look at their keys."""

    async def bury(self, upload_id: str) -> bool:
        """Delete a tombstone that has stood for a day; False when its day is not over."""

    async def select(self, selection: Selection) -> list[Upload]:
        """Read the uploads that an operator looks for."""

    async def census(self) -> Census:
        """Count the deployment's uploads and messages; its cost grows with their number, by an index."""

    async def lead(self, name: str, process: str, seconds: float) -> bool:
        """Hold the named duty (the sweep) for so long; False while another process holds it."""


class Outbox(Protocol):
    """Messages between the transaction that wrote them and the broker that confirmed them."""

    async def pending(self, process: str, limit: int) -> list[Pending]:
        """Messages of this process, and those of others that are older than 5 seconds, oldest first."""

    async def confirm(self, numbers: Sequence[int]) -> None:
        """These were delivered; once is enough."""


class Metadata(Receiving, Ending, Sweeping, Outbox, Keys, Protocol):
    """The whole of it, and its own life."""

    async def start(self) -> None:
        """Open pools; a database that is away is no error here."""

    async def close(self) -> None:
        """Release everything."""

    async def migrated(self) -> bool:
        """Whether the schema is the one that this code needs. MetadataUnavailable."""

    def checks(self) -> Checks:
        """Reach the database, look at its schema, write, and compare its clock."""

    async def secret(self) -> bytes:
        """The secret that signs links, made by the first migration."""

    async def deployment(self) -> str:
        """The random name of this database's deployment, for the marker in the bucket."""
