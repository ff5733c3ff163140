"""What must hold at every moment: looked at after each transaction, after each change of the storage, and at the end."""

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tusfm.adapters import rows
from tusfm.domain.upload import TRANSITIONS, Extent, ExtentKind, Role, State, Upload
from tusfm.engine.stretch import ENTRY_BYTES

if TYPE_CHECKING:
    from tests.simulation.world import World

SELECT = rows.SELECT_UPLOAD + "WHERE u.id = :id"
SETTLED = {State.EXPIRED, State.TERMINATED}


@dataclass(eq=False)
class Sent:
    """The bytes of one request: no two requests send the same, so that every byte tells who wrote it.

    *counts* False: none of them may be counted (a wrong checksum, or one whose body broke off).
    *reached* is the offset that the client was told when all went well.
    """

    offset: int
    data: bytes
    counts: bool = True
    reached: int | None = None

    def has(self, start: int, stretch: bytes) -> bool:
        """Whether this request wrote the stretch at this place of the upload."""
        at = start - self.offset
        return self.counts and self.data[at : at + len(stretch)] == stretch


@dataclass(eq=False)
class Model:
    """What clients know of one creation: at most one row comes of it."""

    name: str
    role: Role
    length: int | None
    partials: list["Model"] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    told: int = 0
    """The highest offset that anybody was told."""
    id: str | None = None
    deletable: bool = False
    """A client has asked, or may have asked, for its end."""
    gone: bool = False
    """A client was told that it is not there."""
    robbed: bool = False
    """Its bytes were taken from outside: it need not be finished, but must not lie."""
    content: bytes | None = None
    """What it was when it became available."""
    taken_back: bool = False
    """Its creation came with bytes that must not count: it is refused, but the row may be inserted late once more."""

    def wrong(self, content: bytes) -> str | None:
        """Say what is wrong with its bytes, from the first one on.

        They must be a succession of requests, each from its own offset on, and what clients were told is their own.
        """
        marks = {one.offset for one in self.sent} | {one.reached for one in self.sent if one.reached is not None}
        ends = sorted({mark for mark in marks if mark < len(content)} | {len(content)})
        writers: list[Sent] = []
        for start, end in itertools.pairwise(ends):
            writers += [one for one in self.sent if one.offset == start and (start == 0 or writers)]
            stretch = content[start:end]
            told = [one for one in self.sent if one.offset <= start and one.reached is not None and one.reached >= end]
            writers = [one for one in told or writers if one.has(start, stretch)]
            if not writers or len(writers) < len(told):
                return f"no request, or not the one that was answered, wrote bytes {start} to {end}"
        return None


@dataclass
class Seen:
    """A row as it was last."""

    upload: Upload
    moved_at: float


@dataclass(frozen=True)
class Told:
    """What the outside should have heard of a row."""

    model: Model
    kinds: set[str]


class Invariants:
    """Holds every change against what must be."""

    def __init__(self, world: "World") -> None:
        """Begin with nothing."""
        self._world = world
        self.models: dict[str, Model] = {}
        self.seen: dict[str, Seen] = {}
        self._by_id: dict[str, Model] = {}
        self._told: dict[str, Told] = {}

    def model(self, *, role: Role = Role.WHOLE, length: int | None = None) -> Model:
        """Begin a model; its name is to be the creation's metadata."""
        model = Model(f"name{len(self.models)}", role, length)
        self.models[model.name] = model
        return model

    def of(self, upload_id: str) -> Model | None:
        """Return the model of a row."""
        return self._by_id.get(upload_id)

    # Rows

    def row(self, upload_id: str) -> Upload | None:
        """Read a row, behind everybody's back."""
        found = self._world.tables.raw.execute(self._world.tables.sql(SELECT), {"id": upload_id}).fetchone()
        return None if found is None else rows.upload(found)

    def extents(self, upload_id: str) -> list[Extent]:
        """Read its extents."""
        statement = rows.SELECT_EXTENTS + "ORDER BY first_byte"
        return [rows.extent(one) for one in self._world.tables.raw.execute(statement, {"id": upload_id})]

    def row_changed(self, upload_id: str) -> None:
        """Look at a row that a transaction named."""
        upload, before = self.row(upload_id), self.seen.get(upload_id)
        if upload is None:
            self.seen.pop(upload_id, None)
            if before is not None and before.upload.state not in SETTLED:
                self._world.fail(f"the row of {upload_id} went though it was {before.upload.state}")
            return
        model = self._by_id.get(upload_id)
        if model is None and (model := self.models.get(upload.metadata)) is not None:
            self._by_id[upload_id] = model
            self._told[upload_id] = Told(model, {"created"})
            model.id = model.id or upload_id
        if before is not None and model is not None:
            self._judge_step(before, upload, model)
        now = self._world.loop.now
        moved_at = now if before is None or self._moved(before.upload, upload) else before.moved_at
        self.seen[upload_id] = Seen(upload, moved_at)
        if model is not None:
            if model.gone and model.id == upload_id and not (upload.gone or model.taken_back):
                self._world.fail(f"{upload_id} came back after a client was told that it is not there")
            self._judge(upload, model, changed=before is None or before.upload.offset != upload.offset)

    def _moved(self, was: Upload, upload: Upload) -> bool:
        """Whether bytes came, or a request for them; the sweep raises the epoch, too."""
        return was.offset != upload.offset or (was.epoch != upload.epoch and upload.writer is not None)

    def _judge_step(self, before: Seen, upload: Upload, model: Model) -> None:
        was, fail = before.upload, self._world.fail
        if upload.epoch < was.epoch:
            fail(f"the epoch of {upload.id} went from {was.epoch} to {upload.epoch}")
        if upload.state is was.state:
            if upload.offset < was.offset:
                fail(f"the offset of {upload.id} went from {was.offset} back to {upload.offset}")
            return
        self._told[upload.id].kinds.add({State.AVAILABLE: "finalized"}.get(upload.state, upload.state.value))
        if upload.state not in TRANSITIONS[was.state]:
            fail(f"{upload.id} went from {was.state} to {upload.state}")
        early = self._world.loop.now - before.moved_at < (self._world.settings.expire_after or 0) - 0.01
        lost = was.state is State.FAILED and was.role is Role.FINAL  # it had no bytes, and nobody can mend it
        if upload.state is State.EXPIRED and early and not lost:
            fail(f"{upload.id} expired {self._world.loop.now - before.moved_at:.3f} s after its last bytes")
        if upload.state is State.FAILED and not (model.robbed or any(self._ended(one) for one in model.partials)):
            fail(f"{upload.id} failed though none of its bytes was taken: {upload.error}")
        if upload.state is State.TERMINATED and not (model.deletable or model.taken_back or model.role is Role.PARTIAL):
            fail(f"{upload.id} was deleted though nobody asked for it")

    def _ended(self, partial: Model) -> bool:
        """Whether a partial is gone, and not because it had served."""
        row = None if partial.id is None else self.row(partial.id)
        served = row is not None and row.state is State.TERMINATED and not (partial.deletable or partial.taken_back)
        return row is None or (row.gone and not served)

    def _judge(self, upload: Upload, model: Model, *, changed: bool) -> None:
        fail = self._world.fail
        if upload.state is State.AVAILABLE:
            self._judge_object(upload, model)
        elif upload.state in {State.RECEIVING, State.FINALIZING} and upload.role is not Role.FINAL and not model.robbed:
            if upload.state is State.RECEIVING and upload.length and upload.offset >= upload.length:
                fail(f"{upload.id} has all its {upload.length} bytes, and still receives")
            content = self._content(upload)
            if isinstance(content, str):
                fail(f"{upload.id} at {upload.offset}: {content}")
            elif changed and (wrong := model.wrong(content)):
                fail(f"{upload.id} at {upload.offset}: {wrong}")

    def _judge_object(self, upload: Upload, model: Model) -> None:
        content = self._world.shelf.objects.get(upload.object_key or "")
        if content is None or not len(content) == upload.offset == upload.length:
            found = "is not there" if content is None else f"has {len(content)} bytes"
            self._world.fail(f"{upload.id} is available with {upload.length} bytes; its object {upload.object_key} {found}")
        elif model.content is None:
            self._judge_content(upload, model, content)
        elif content != model.content:
            self._world.fail(f"{upload.id} has other bytes than when it became available")

    def _judge_content(self, upload: Upload, model: Model, content: bytes) -> None:
        model.content = content
        if upload.role is Role.FINAL:
            if content != b"".join(one.content or b"" for one in model.partials):
                self._world.fail(f"{upload.id} is not its partials in their order")
        elif wrong := model.wrong(content):
            self._world.fail(f"{upload.id} is available: {wrong}")

    # Storage

    def object_changed(self, key: str) -> None:
        """Look at the upload whose object, or multipart upload, was changed or taken away."""
        upload_id = key.split("/")[1]
        model, seen = self._by_id.get(upload_id), self.seen.get(upload_id)
        if model is not None and seen is not None:
            upload = self.row(upload_id)
            if upload is not None:
                self._judge(upload, model, changed=False)

    def _content(self, upload: Upload) -> bytes | str:
        """Put together what the row counts; a sentence when something is missing."""
        content = b""
        extents = [one for one in self.extents(upload.id) if one.length]
        first = next((one.start for one in extents if one.kind is ExtentKind.PART), 0)
        for extent in extents:
            if extent.start != len(content):
                return f"bytes {len(content)} to {extent.start} are nowhere"
            data = self._part(upload, extent, first) if extent.kind is ExtentKind.PART else self._object(extent, 0)
            if data is None:
                return f"the {extent.kind} of bytes {extent.start} to {extent.end} ({extent.key}) is not there"
            content += data
        if len(content) != upload.offset:
            return f"its extents hold {len(content)} bytes"
        return content

    def _object(self, extent: Extent, start: int) -> bytes | None:
        stored = self._world.shelf.objects.get(extent.key)
        whole = stored is not None and len(stored) >= start + extent.length
        if stored is None or not whole or (extent.kind is ExtentKind.TAIL and len(stored) != extent.length):
            return None
        return stored[start : start + extent.length]

    def _part(self, upload: Upload, extent: Extent, first: int) -> bytes | None:
        multipart = self._world.shelf.unfinished.get(upload.multipart or "")
        if multipart is None or multipart.key != extent.key:
            return self._object(extent, extent.start - first)
        data = multipart.parts.get(extent.number, b"")
        same = hashlib.md5(data, usedforsecurity=False).hexdigest() == extent.etag
        return data if same and len(data) == extent.length else None

    # The end

    def judge_end(self) -> None:
        """Look at everything once all uploads are finished, deleted or expired, and swept."""
        world = self._world
        live = [row for one in self.seen if (row := self.row(one)) is not None]
        named = {row.object_key for row in live if row.state is State.AVAILABLE}
        named |= {one.key for row in live if row.state is State.FAILED for one in self.extents(row.id)}
        left = {key for key in world.shelf.objects if not key.startswith("work/marker/")} - named
        if left:
            world.fail(f"left over: {sorted(left)}")
        if world.shelf.unfinished:
            world.fail(f"unfinished multipart uploads are left over: {[one.key for one in world.shelf.unfinished.values()]}")
        for upload_id, told in self._told.items():
            self._judge_events(upload_id, told)

    def _judge_events(self, upload_id: str, told: Told) -> None:
        """Compare with what was published. A final that fails with its partial says nothing; nor does a failed creation."""
        silent = {"finalizing", "failed"} | ({"terminated"} if told.model.taken_back else set())
        missing = told.kinds - silent - {kind for one, kind in self._world.events.heard if one == upload_id}
        if missing and told.model.role is not Role.PARTIAL:
            self._world.fail(f"nobody heard that {upload_id} was {sorted(missing)}")

    def judge_memory(self) -> None:
        """Hold each process's budget against what it keeps, now that no request is under way."""
        for server in self._world.servers:
            layout: Any = server.engine.uploads._layout
            kept = sum(stretch.held + ENTRY_BYTES for stretch in layout._kept._stretches.values())
            if layout.budget.used != kept:
                self._world.fail(f"the budget counts {layout.budget.used} bytes, and {kept} are kept")
