"""The database of the service that this one takes the place of, as its own migrations and its workers left it."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.stacks import apart

TABLES = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('6636fe22b643');
CREATE TABLE files (
    id VARCHAR(36) NOT NULL, credential JSON, path VARCHAR(255), content_type VARCHAR(32), size INTEGER, detail JSON,
    celery_task_id VARCHAR(36), PRIMARY KEY (id)
);
CREATE TABLE celery_tasks (
    id BIGINT NOT NULL AUTO_INCREMENT, meta BLOB, task_id VARCHAR(155), status VARCHAR(50), result BLOB, date_done DATETIME,
    traceback TEXT, name VARCHAR(155), args BLOB, kwargs BLOB, worker VARCHAR(155), retries INTEGER, queue VARCHAR(155),
    PRIMARY KEY (id), UNIQUE (task_id)
)
"""
ADD_FILE = (
    "INSERT INTO files (id, credential, path, content_type, size, detail, celery_task_id) "
    "VALUES (:id, :credential, :path, :content_type, :size, :detail, :task)"
)
ADD_TASK = "INSERT INTO celery_tasks (task_id, status, retries, name) VALUES (:task, :status, 0, 'complete_upload')"


def old_file(status: str | None = "SUCCESS", **more: Any) -> dict[str, Any]:
    """Describe a row of `files`, and what `celery_tasks` says of its task: None when that knows nothing of it."""
    credential = more.pop("credential", None)
    detail = more.pop("detail", None)
    bucket = "private" if credential else "public"
    return {
        "id": str(uuid.uuid4()),
        "credential": None if credential is None else json.dumps(credential),
        "path": f"{bucket}/{uuid.uuid4()}.mp4",
        "content_type": "video/mp4",
        "size": 2_944_531,
        "detail": None if detail is None else json.dumps(detail),
        "task": str(uuid.uuid4()),
        "status": status,
        **more,
    }


def make(url: str, files: Sequence[dict[str, Any]]) -> None:
    """Make the tables in an empty database of MySQL, and fill them."""

    async def run() -> None:
        engine = create_async_engine(make_url(url))
        async with engine.begin() as connection:
            for statement in TABLES.split(";"):
                await connection.execute(text(statement))
            if files:
                await connection.execute(text(ADD_FILE), list(files))
            tasks = [one for one in files if one["status"] is not None and one["task"] is not None]
            if tasks:
                await connection.execute(text(ADD_TASK), tasks)
        await engine.dispose()

    apart(run)
