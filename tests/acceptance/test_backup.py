"""Backup and restore, with the commands that docs/operations.md gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from tusclient import client

from tests.acceptance.conftest import sha256
from tests.servers import ServerProcess
from tests.services.s3 import S3Server
from tests.stacks import ProductionStack, migrated, sweep

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
SIZE = 12_000_000


def run(script: str, folder: Path, stack: ProductionStack) -> None:
    """Run a script of the documentation as this deployment's operator."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {
        "PYTHONPATH": str(EXAMPLES.parent.parent),
        **os.environ,
        **stack.settings,
        "PATH": path,
        "MYSQL_PWD": stack.settings["MYSQL_ROOT_PASSWORD"],
    }
    command = ["bash", "-eu", str(EXAMPLES / script)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def send(server: ServerProcess, file: Path, upto: int = SIZE, url: str | None = None) -> str:
    """Send a file up to an offset, and return the upload's path."""
    with file.open("rb") as stream:
        uploader = client.TusClient(f"{server.url}/files/").uploader(file_stream=stream, url=url and f"{server.url}{url}")
        uploader.upload(stop_at=upto) if upto < SIZE else uploader.upload()
    return str(uploader.url).removeprefix(server.url)


@pytest.mark.timeout(240)
def test_an_older_database_loses_no_file(mysql_server: URL, minio_server: S3Server, tmp_path: Path) -> None:
    """After a restore, what was finished before is there, and what was finished since is kept by sweeps and reported."""
    file = tmp_path / "file.bin"
    file.write_bytes(os.urandom(SIZE))
    with migrated(mysql_server) as url:
        stack = ProductionStack(url, minio_server, "tusfm-backup")
        with ServerProcess(tmp_path / "first", stack.settings) as server:
            before, during = send(server, file), send(server, file, SIZE // 2)
            stack.execute("UPDATE uploads SET expires_at = 1")  # the backup will be an old one when it is restored
            run("backup.sh", tmp_path, stack)
            stack.execute("UPDATE uploads SET expires_at = NULL")
            send(server, file, url=during)
            after = send(server, file)
            assert {sha256(f"{server.url}{path}") for path in (before, during, after)} == {sha256(file)}
        files = {key: size for key, size in stack.objects().items() if key.startswith("files/")}
        stack.execute("DELETE FROM uploads")
        run("restore.sh", tmp_path, stack)
        sweep(stack)
        reported = set((tmp_path / "finished-since.txt").read_text().split())
        assert {key.split("/")[1] for key in reported} == {path.rpartition("/")[2] for path in (during, after)}
        assert {key: size for key, size in stack.objects().items() if key.startswith("files/")} == files
        with ServerProcess(tmp_path / "second", stack.settings) as server:
            assert sha256(f"{server.url}{before}") == sha256(file)
