"""The database of the old service: its files keep their ids, and are read as they were."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy.engine import make_url

from migrations import old_service
from tests.engine.chunked import DONE, becomes, completed, send
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tests.old_service import make, old_file
from tests.stacks import apart, execute
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.migration import migrate
from tusfm.domain.files import File, FileStatus

T = TypeVar("T")


def read(url: str, ask: Callable[[SqlMetadata], Awaitable[T]]) -> T:
    """Ask a database something."""

    async def run() -> T:
        metadata = SqlMetadata(url, "reader")
        try:
            return await ask(metadata)
        finally:
            await metadata.close()

    return apart(run)


def found(url: str, old: dict[str, Any]) -> File:
    """Read an old file as clients do."""
    file = read(url, lambda metadata: metadata.file(old["id"]))
    assert file is not None
    return file


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, None),
        ("null", None),
        ("{}", {}),
        ('{"user_id": 84793, "ok": true, "x": null}', {"user_id": "84793", "ok": "True", "x": "None"}),
        (json.dumps(json.dumps({"имя": "é"})), {"имя": "é"}),
        (json.dumps("null"), None),
        ('"words"', {"credential": "words"}),
        ("[1]", {"credential": "[1]"}),
        ("not JSON", {"credential": "not JSON"}),
    ],
)
def test_pairs_as_the_old_service_wrote_them(written: str | None, meant: dict[str, str] | None) -> None:
    """JSON, or JSON in a string of JSON; keys and values become text; what is neither never makes a file public."""
    assert old_service.pairs(written) == meant


def test_files_of_every_kind(mysql_url: str) -> None:
    """Each is found under its id, in any case, with its path, its type, its pairs, and what became of its task."""
    old = [
        old_file("SUCCESS", detail={"title": "Фильм"}),
        old_file("SUCCESS", credential={"user_id": "84793"}),
        old_file("SUCCESS", credential={}, content_type="x" * 32, size=None),
        old_file("FAILURE", credential=json.dumps({"a": "b"})),
        old_file("STARTED"),
        old_file("PENDING"),
        old_file("RETRY"),
        old_file(None),
        old_file(None, task=None),
        old_file("SUCCESS", path="elsewhere/a name of its own.mp4"),
        old_file("SUCCESS", id=str(uuid.uuid4()).upper()),
    ]
    make(mysql_url, old)
    assert "from nothing" in migrate(mysql_url)
    files = [found(mysql_url, one) for one in old]
    assert [one.status.value for one in files] == (
        ["SUCCESS"] * 3 + ["FAILURE", "STARTED", "PENDING", "STARTED", "PENDING", "PENDING", "SUCCESS", "SUCCESS"]
    )
    assert [(one.id, one.path) for one in files] == [(one["id"].lower(), one["path"]) for one in old]
    assert [one.credential for one in files[:5]] == [None, {"user_id": "84793"}, {}, {"a": "b"}, None]
    assert (files[0].detail, files[2].content_type) == ({"title": "Фильм"}, "x" * 32)
    assert files[1].upload_id == files[1].path.removeprefix("private/").removesuffix(".mp4")
    assert read(mysql_url, lambda metadata: metadata.file(old[0]["id"].upper())) == files[0]
    assert direct(mysql_url, "SELECT COUNT(*) FROM files") == len(old)
    assert direct(mysql_url, "SELECT version_num FROM alembic_version") == "6636fe22b643"


def direct(url: str, statement: str) -> object:
    """Run a statement."""
    return apart(lambda: execute(make_url(url), statement))


def test_two_files_of_one_upload(mysql_url: str) -> None:
    """An upload that was completed twice had two records: both are there."""
    first = old_file()
    second = old_file("FAILURE", path=first["path"])
    make(mysql_url, [first, second])
    migrate(mysql_url)
    assert {found(mysql_url, one).status.value for one in (first, second)} == {"SUCCESS", "FAILURE"}


def test_one_that_died_in_the_middle_is_gone_on_with(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows are copied in turns; what was copied when it died is not copied again, and nothing is left out."""
    monkeypatch.setattr(old_service, "BATCH", 7)
    old = [old_file() for _ in range(30)]
    make(mysql_url, old)
    told: list[int] = []
    migrate(mysql_url, told.append)
    assert told == [7, 14, 21, 28, 30]
    direct(mysql_url, "UPDATE tusfm_alembic SET version_num = '0001'")
    direct(mysql_url, "DELETE FROM chunked_files ORDER BY id DESC LIMIT 11")
    direct(mysql_url, "DELETE FROM uploads ORDER BY id LIMIT 5")
    direct(mysql_url, "DELETE FROM chunked_files WHERE upload_id NOT IN (SELECT id FROM uploads)")
    assert "from 0001" in migrate(mysql_url)
    assert [found(mysql_url, one).path for one in old] == [one["path"] for one in old]
    assert direct(mysql_url, "SELECT COUNT(*) FROM uploads") == len(old)


def test_another_application_s_tables_are_left_alone(mysql_url: str) -> None:
    """Tables of the same names at another revision are not the old service's."""
    make(mysql_url, [old_file()])
    direct(mysql_url, "UPDATE alembic_version SET version_num = 'another'")
    migrate(mysql_url)
    assert direct(mysql_url, "SELECT COUNT(*) FROM chunked_files") == 0


async def test_what_old_files_can_do(mysql_url: str, tmp_path: Path) -> None:
    """A file that no task is known to have finished is, once its object is found; one that failed can be sent anew."""
    lost, failed, waiting = old_file(None, credential={"a": "b"}), old_file("FAILURE"), old_file("PENDING")
    await asyncio.to_thread(make, mysql_url, [lost, failed, waiting])
    storage = MemoryStorage()
    with migrated(tmp_path, mysql_url) as environ:
        async with running(environ, storage) as engine:
            assert (await engine.chunks.file(lost["id"])).status is FileStatus.PENDING
            storage.objects[lost["path"]] = b"film"
            file = await engine.chunks.file(lost["id"])
            stored = await engine.metadata.find(file.upload_id)
            assert stored is not None
            assert (file.status, stored.offset) == (FileStatus.SUCCESS, 4)
            again = await engine.chunks.retry(failed["id"])
            assert (await becomes(engine, again, *DONE)).status is FileStatus.FAILURE
            for one in (failed, waiting):
                upload_id = (await engine.chunks.file(one["id"])).upload_id
                await send(engine, upload_id, 0, b"anew")
                file = await completed(engine, upload_id, 1, extension="mp4")
                assert file.id == one["id"]
                done = await becomes(engine, file, *DONE)
                assert (done.status, storage.objects[str(done.key)]) == (FileStatus.SUCCESS, b"anew")
