"""Between rows and the domain's values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tusfm.domain.files import Chunk, File, status_of
from tusfm.domain.upload import Extent, ExtentKind, Role, State, Upload
from tusfm.ports.chunking import NewFile
from tusfm.ports.metadata import Message, Pending

Values: TypeAlias = Sequence[Any]  # a row, by position

UPLOAD_COLUMNS = (
    "u.id, u.state, u.role, u.epoch, u.upload_offset, u.upload_length, u.metadata, u.concat, u.object_key, u.multipart, "
    "u.multipart_at, u.next_part, u.writer, u.wanted, u.lease, u.attempts, u.error, u.created_at, u.expires_at, "
    "u.finished_at, {now} AS seen_at, u.revision, u.owner, u.size_limit, u.lifetime, u.charged"
)
ALIVE_MS = 5000
# No join: for one MySQL hashes the few processes, and then reads and sorts all uploads where a page of them is asked for.
SELECT_UPLOAD = (
    f"SELECT {UPLOAD_COLUMNS}, EXISTS "
    f"(SELECT 1 FROM processes p WHERE p.id = u.writer AND p.beat > {{now}} - {ALIVE_MS}) AS writer_alive FROM uploads u "
)
SELECT_EXTENTS = "SELECT kind, first_byte, byte_count, object_key, number, etag FROM extents WHERE upload_id = :id "
SELECT_FILE = (
    "SELECT f.id, f.upload_id, f.path, f.content_type, f.credential, f.detail, f.object_key, f.total_chunks, f.total_size, "
    "u.state, u.attempts, u.error, u.owner FROM chunked_files f JOIN uploads u ON u.id = f.upload_id "
)
SELECT_CHUNKS = "SELECT position, name, sizes FROM chunks WHERE upload_id = :id "


def upload(row: Values) -> Upload:
    """Read a row of SELECT_UPLOAD."""
    return Upload(
        id=row[0],
        state=State(row[1]),
        role=Role(row[2]),
        epoch=row[3],
        offset=row[4],
        length=row[5],
        metadata=row[6],
        concat=row[7],
        object_key=row[8],
        multipart=row[9],
        multipart_at=row[10],
        next_part=row[11],
        writer=row[12],
        wanted=bool(row[13]),
        lease=row[14],
        attempts=row[15],
        error=row[16],
        created_at=row[17],
        expires_at=row[18],
        finished_at=row[19],
        seen_at=int(row[20]),
        revision=row[21],
        owner=row[22],
        size_limit=row[23],
        lifetime=None if row[24] is None else row[24] / 1000,
        charged=row[25],
        writer_alive=bool(row[26]),
    )


def extent(row: Values) -> Extent:
    """Read a row of SELECT_EXTENTS."""
    return Extent(ExtentKind(row[0]), row[1], row[2], row[3], row[4], row[5])


def extent_values(upload_id: str, one: Extent) -> dict[str, object]:
    """Write an extent's columns."""
    return {
        "id": upload_id,
        "kind": one.kind.value,
        "start": one.start,
        "length": one.length,
        "key": one.key,
        "number": one.number,
        "etag": one.etag,
    }


def file(row: Values) -> File | None:
    """Read a row of SELECT_FILE; None when its upload has ended."""
    status = status_of(State(row[9]), row[10])
    if status is None:
        return None
    return File(
        id=row[0],
        upload_id=row[1],
        path=row[2],
        content_type=row[3],
        credential=None if row[4] is None else json.loads(row[4]),
        detail=None if row[5] is None else json.loads(row[5]),
        key=row[6],
        chunks=row[7],
        size=None if row[8] is None else int(row[8]),
        status=status,
        error=row[11],
        owner=row[12],
    )


def chunk(row: Values) -> Chunk:
    """Read a row of SELECT_CHUNKS."""
    return Chunk(row[0], row[1], tuple(json.loads(row[2])))


def chunk_values(upload_id: str, one: Chunk, seq: int) -> dict[str, object]:
    """Write a chunk's columns."""
    return {"id": upload_id, "position": one.index, "name": one.name, "sizes": json.dumps(one.sizes), "seq": seq}


def file_values(new: NewFile) -> dict[str, object]:
    """Write a file's columns, but for its id."""
    said = new.completion
    return {
        "id": said.upload_id,
        "key": new.key,
        "path": new.path,
        "content_type": said.content_type,
        "credential": _json(said.credential),
        "detail": _json(said.detail),
        "chunks": said.chunks,
        "size": str(said.size),
    }


def _json(pairs: Mapping[str, str] | None) -> str | None:
    return None if pairs is None else json.dumps(dict(pairs))


def message_values(message: Message, process: str) -> dict[str, object]:
    """Write a message's columns."""
    return {
        "id": message.id,
        "kind": message.kind,
        "upload_id": message.upload_id,
        "body": json.dumps(message.body),
        "process": process,
    }


def pending(row: Values) -> Pending:
    """Read a row of the outbox."""
    message = Message(id=row[2], kind=row[3], upload_id=row[4], body=json.loads(row[5]))
    return Pending(number=row[0], at=row[1], message=message)
