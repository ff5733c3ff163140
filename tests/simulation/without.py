"""The engine without one of its steps, or with two of them in the wrong order: what guards.py puts in its place."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from tests.simulation.ways import StorageWay
from tusfm.adapters.database_mysql import _Outcome
from tusfm.adapters.metadata_ending import SET_LENGTH
from tusfm.adapters.metadata_receiving import WORN, ReceivingSql, _as_created
from tusfm.adapters.metadata_session import milliseconds
from tusfm.domain.errors import BytesLost, Fenced
from tusfm.domain.upload import Extent, ExtentKind, Upload, new_id
from tusfm.engine.appending import Append, Appender, Progress
from tusfm.engine.budget import Loan
from tusfm.engine.creating import Creation, Creator
from tusfm.engine.expiration import BATCH, Sweep
from tusfm.engine.gathering import Gatherer, Gathering
from tusfm.engine.part_layout import PartLayout
from tusfm.engine.parts import PartWriter
from tusfm.engine.stretch import Kept, Stretch
from tusfm.engine.uploads import Uploads
from tusfm.engine.writing import Change, Placement, Position
from tusfm.ports.metadata import Commit, NewUpload
from tusfm.ports.storage import MultipartStorage, Part, Pieces

_append_claimed, _remember = Appender._append_claimed, Appender._remember
_insert, _complete, _place = Creator._insert, Creator._complete, PartLayout.place
_commit, _land, _put = PartWriter._commit, PartWriter._land, StorageWay.put
_commit_sql, _keep = ReceivingSql.commit, PartLayout._keep
_count, _landed, _start, of = Gatherer._commit, Gatherer.landed, Gatherer.start, Gatherer.of
_end, _outcome = Uploads._end, _Outcome.of
_rowless: dict[str, NewUpload] = {}

NOT_RANDOM = SimpleNamespace(token_hex=lambda _: "0")


# The row before the object


async def insert_later(creator: Creator, creation: Creation, *, writer: str | None = None) -> Upload:
    """Creator._insert: of a creation whose body is there already the row is not inserted yet."""
    if creation.body is None or writer is not None:
        return await _insert(creator, creation, writer=writer)
    new = creator._new(creation, new_id())
    _rowless[new.id] = new
    return _as_created(new)


async def complete_later(creator: Creator, upload: Upload, pieces: list[bytes]) -> Progress:
    """Creator._complete: a creation without bytes has its row now."""
    if not pieces and upload.length != 0 and upload.id in _rowless:
        await creator._metadata.create(_rowless.pop(upload.id))
    return await _complete(creator, upload, pieces)


async def place_before_row(
    layout: PartLayout, upload: Upload, pieces: Sequence[bytes], total: int | None
) -> Placement | None:
    """PartLayout.place: the object is stored, and only then is the row inserted."""
    placement = await _place(layout, upload, pieces, total)
    if upload.id in _rowless:
        await layout._metadata.create(_rowless.pop(upload.id))
    return placement


# Commits


async def put_unconfirmed(way: StorageWay, key: str, pieces: Pieces) -> None:
    """StorageWay.put: nobody waits for the storage's answer."""
    asyncio.ensure_future(_put(way, key, pieces)).add_done_callback(lambda put: put.cancelled() or put.exception())


async def land_out_of_order(writer: PartWriter, **how: bool) -> None:
    """PartWriter._land: a part behind one that is still on its way counts."""
    if len(writer._flights) > 1 and writer._flights[1].task.done():
        writer._flights.rotate()
    await _land(writer, **how)


async def delete_first(writer: PartWriter, **what: Any) -> None:
    """PartWriter._commit: gathered tails go before it."""
    tails = [one.key for one in writer._needless if one.kind is ExtentKind.TAIL]
    if tails:
        await writer._storage.delete(tails)
    await _commit(writer, **what)


async def length_at_once(appender: Appender, append: Append, early: Loan) -> Progress:
    """Appender._append_claimed: a length that is reached already is set before the commit that ends the upload."""
    metadata: Any = appender._metadata
    if append.length == append.offset:
        await metadata.db.write(lambda connection: metadata.run(connection, SET_LENGTH, id=append.id, length=append.length))
    return await _append_claimed(appender, append, early)


def fenced_is_fenced(outcome: _Outcome, connection: Any, work: Any, _: Any) -> Any:
    """_Outcome.of: a transaction whose answer was lost, and that finds no row when it is sent again, was not done."""
    return _outcome(SimpleNamespace(unknown=False), connection, work, None)  # type: ignore[arg-type]


async def commit_unseized(metadata: ReceivingSql, commit: Commit) -> None:
    """ReceivingSql.commit: one that comes without a claim leaves the epoch as it is."""
    await _commit_sql(metadata, replace(commit, seizes=False))


def remember_unseized(appender: Appender, upload: Upload, change: Change, total: int | None) -> None:
    """Appender._remember: its commit left the epoch as it was."""
    _remember(appender, replace(upload, epoch=upload.epoch - 1), change, total)


def keep_unseized(layout: PartLayout, upload: Upload, stretch: Stretch, pieces: Sequence[bytes], tail: Extent) -> None:
    """PartLayout._keep: its commit left the epoch as it was."""
    _keep(layout, upload, stretch, pieces, tail)
    stretch.epoch = upload.epoch


async def count_unseized(gatherer: Gatherer, gathering: Gathering) -> None:
    """Gatherer._commit: its commit left the epoch as it was."""
    epoch = gathering.stretch.epoch
    await _count(gatherer, gathering)
    gathering.stretch.epoch = epoch


# Gathering


def landed_and_deleted(gatherer: Gatherer, upload_id: str, stretch: Stretch) -> Gathering | None:
    """Gatherer.landed: the tails go as soon as their part is there."""
    found = _landed(gatherer, upload_id, stretch)
    if found is not None:
        gatherer._beside(gatherer._delete([tail.key for tail in found.tails]))
    return found


def unreserved(**what: Any) -> Change:
    """Change: no number is reserved."""
    return Change(**{**what, "reserve": 0})


def of_any_stretch(gatherer: Gatherer, upload_id: str, _: Stretch) -> Gathering | None:
    """Gatherer.of: whatever is under way, whoever has written since."""
    return gatherer._under_way.get(upload_id)


def kept_of_any_epoch(kept: Kept, upload: Upload) -> Stretch | None:
    """Kept.of: whoever has written since."""
    found = kept._stretches.get(upload.id)
    return found if found is not None and found.end == upload.offset else None


async def always_ready(gatherer: Gatherer, upload: Upload, stretch: Stretch) -> Upload | None:
    """Gatherer.ready: nobody looks whether memory has the bytes, and how the part before fares."""
    return await gatherer._begin(upload) if upload.multipart is None else upload


def start_in_any_case(gatherer: Gatherer, upload: Upload, stretch: Stretch, position: Position) -> None:
    """Gatherer.start: the same."""
    stretch.memory = stretch.base
    _start(gatherer, upload, stretch, position)


# Ending


async def look_before(storage: MultipartStorage, key: str, multipart: str | None, parts: Sequence[Extent]) -> int:
    """multiparts.complete: the object is looked for before, and not after."""
    least = sum(part.length for part in parts)
    size = await storage.size(key)
    if size is None and multipart is not None:
        await storage.complete(key, multipart, [Part(part.number, part.etag) for part in parts])
        return least
    if size is None or size < least:
        raise BytesLost("it is not there")
    return size


async def unknown_is_done(storage: MultipartStorage, key: str, multipart: str | None, parts: Sequence[Extent]) -> int:
    """multiparts.complete: a multipart upload that is unknown was completed."""
    if multipart is not None:
        try:
            await storage.complete(key, multipart, [Part(part.number, part.etag) for part in parts])
        except BytesLost:
            pass
    return sum(part.length for part in parts)


async def bytes_first(uploads: Uploads, upload: Upload, *, finished: bool = True) -> None:
    """Uploads._end: the row changes last."""
    await uploads._layout.remove(upload, thorough=False)
    await _end(uploads, upload, finished=finished)


async def expire_bytes_first(sweep: Sweep, upload_id: str) -> Upload | None:
    """Sweep._expire_one: the row changes last."""
    upload = await sweep._metadata.find(upload_id)
    return upload if upload is not None and await sweep._remove(upload) else None


async def refresh_unseized(sweep: Sweep) -> int:
    """Sweep._refresh: nobody's epoch is raised."""
    for upload in await sweep._metadata.worn(sweep._layout.age or 0, BATCH):
        try:
            await sweep._layout.refresh(upload)
        except (Fenced, BytesLost):
            continue
    return 0


async def worn_or_written(metadata: ReceivingSql, age: float, limit: int) -> list[Upload]:
    """ReceivingSql.worn: those that a living process writes to as well."""
    values = {"age": milliseconds(age), "limit": limit}
    return await metadata.db.read(lambda connection: metadata.uploads(connection, WORN, **values))
