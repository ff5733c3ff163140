"""What the service before this one knew of its files, brought over into our tables.

Its database, at its own revision 6636fe22b643, has the tables `files` and `celery_tasks`. They stay as they are: they are
the way back. A file keeps its id, its path and its credential; its status is what became of its task:

- SUCCESS and FAILURE are what they were. A FAILURE cannot be mended by a retry alone, for its chunks were on the disk of
  the old service; the client sends them again.
- Anything else was not finished when the old service was stopped, as far as its tables tell. Celery forgets what tasks
  came to after a day, so a task that nobody knows may have succeeded long ago: such a file is PENDING here, as it was
  there, until its object is found in its bucket, which is looked for when somebody asks.

Rows are copied some hundreds at a time. What was copied is not copied again, so a run that died is gone on with.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

REVISION = "6636fe22b643"
BATCH = 500
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PATH = re.compile(rf"[^/]+/({UUID})\.[0-9a-z]{{1,16}}", re.ASCII)
"""`BUCKET/UPLOAD_ID.EXTENSION`, as the old service wrote it."""
NOW = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
TO_COPY = sa.text(
    "SELECT f.id, f.credential, f.path, f.content_type, f.size, f.detail, t.status FROM files f "
    "LEFT JOIN celery_tasks t ON t.task_id = f.celery_task_id WHERE f.id > :last ORDER BY f.id LIMIT :limit"
)
THERE = "SELECT id, upload_id FROM chunked_files WHERE "
ADD_UPLOAD = sa.text(
    "INSERT IGNORE INTO uploads (id, state, role, epoch, upload_offset, upload_length, metadata, object_key, next_part, "
    "answers, wanted, lease, attempts, error, created_at, finished_at, ended_at) "
    f"VALUES (:upload_id, :state, 'chunked', 0, :size, :size, '', :key, 1, 1, 0, 0, :attempts, :error, {NOW}, "
    f"CASE WHEN :state = 'available' THEN {NOW} END, CASE WHEN :state = 'failed' THEN {NOW} END)"
)
ADD_FILE = sa.text(
    "INSERT INTO chunked_files (id, upload_id, object_key, path, content_type, credential, detail) "
    "VALUES (:id, :upload_id, :key, :path, :content_type, :credential, :detail)"
)
STATES = {"SUCCESS": "available", "FAILURE": "failed"}
UNDER_WAY = {"STARTED", "RETRY", "PROGRESS"}


def bring_over(connection: Connection, told: Callable[[int], None]) -> None:
    """Copy the files of the old service, if this is its database; *told* hears how many they are so far."""
    if not _is_its(connection):
        return
    last, count = "", 0
    while found := connection.execute(TO_COPY, {"last": last, "limit": BATCH}).mappings().all():
        _copy(connection, found)
        last, count = found[-1]["id"], count + len(found)
        told(count)


def _is_its(connection: Connection) -> bool:
    inspector = sa.inspect(connection)
    if not all(inspector.has_table(name) for name in ("alembic_version", "files", "celery_tasks")):
        return False
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == REVISION


def _copy(connection: Connection, found: Sequence[RowMapping]) -> None:
    there = {row[0] for row in _there(connection, "id", {one["id"].lower() for one in found})}
    rows = [_row(one) for one in found if one["id"].lower() not in there]
    taken = {row[1] for row in _there(connection, "upload_id", {row["upload_id"] for row in rows})}
    for row in rows:
        if row["upload_id"] in taken:  # two files of one upload: the second has only its own name
            row["upload_id"] = row["id"]
        taken.add(row["upload_id"])
    if rows:
        connection.exec_driver_sql("START TRANSACTION")
        connection.execute(ADD_UPLOAD, rows)
        connection.execute(ADD_FILE, rows)
        connection.exec_driver_sql("COMMIT")


def _there(connection: Connection, column: str, names: Iterable[str]) -> Sequence[Any]:
    statement = sa.text(f"{THERE} {column} IN :names").bindparams(sa.bindparam("names", expanding=True))
    return connection.execute(statement, {"names": sorted(names)}).all()


def _row(old: RowMapping) -> dict[str, Any]:
    """Say in our columns what the old row says."""
    credential = pairs(old["credential"])
    path = PATH.fullmatch(old["path"] or "")
    state = STATES.get(old["status"] or "", "receiving")
    return {
        "id": old["id"].lower(),
        "upload_id": path[1] if path else old["id"].lower(),
        "state": state,
        "attempts": int(old["status"] in UNDER_WAY),
        "error": "The old service could not finish this file." if state == "failed" else None,
        "size": old["size"] or 0,
        "key": f"{'private' if credential else 'public'}/{path[0].rpartition('/')[2]}" if path else None,
        "path": old["path"] or "",
        "content_type": old["content_type"] or "",
        "credential": None if credential is None else json.dumps(credential),
        "detail": None if (detail := pairs(old["detail"])) is None else json.dumps(detail),
    }


def pairs(written: object) -> dict[str, str] | None:
    """Read an object as the old service wrote it: as JSON, or as JSON within a string of JSON; None for null.

    What is neither is kept as the one value of a pair, so that a file does not become public because nobody understands it.
    """
    value = written
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            break
    if value is None:
        return None
    if not isinstance(value, dict):
        return {"credential": str(value)}
    return {str(name): str(one) for name, one in value.items()}
