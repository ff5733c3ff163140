"""The installed command, in a subprocess: what it says, how it ends, and several workers."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.deployments import BUCKET
from tests.servers import ServerProcess, free_port
from tests.services.rabbitmq import Rabbit
from tests.services.s3 import S3Server
from tests.stacks import ProductionStack, migrated
from tusfm.adapters.metadata_sql import HEAD_REVISION

TUSFM = Path(sys.executable).parent / "tusfm"
BARE = "import os; os.closerange(0, 2); from tusfm.main import main; main()"
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    environ = {**ENVIRON, "TUSFM_DATA_DIR": str(folder / "data"), **settings}
    return subprocess.run(
        [TUSFM, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return what was said on standard error, which holds no traceback."""
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_the_version(tmp_path: Path) -> None:
    """`tusfm --version` says the version."""
    assert run(tmp_path, "--version").stdout == "tusfm 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "words"),
    [
        (["serve", "--port", "x"], {}, 2, "a port is a number"),
        (["serve", "--workers", "0"], {}, 2, "number of workers"),
        (["serve", "--port", "1", "--host", "203.0.113.1"], {}, 1, "Cannot listen on 203.0.113.1 port 1"),
        (["serve"], {"TUSFM_MAX_SIZE": "lots"}, 2, "TUSFM_MAX_SIZE must be a whole number"),
        (["serve", "--port", "0"], {"TUSFM_DATA_DIR": "/proc/nowhere"}, 1, "TUSFM_DATA_DIR /proc/nowhere cannot be made"),
        (["migrate"], {"TUSFM_DATA_DIR": "/proc/nowhere"}, 1, "cannot be made"),
        (["serve"], {"TUSFM_DATA_DIR": " "}, 2, "TUSFM_DATA_DIR must not be empty"),
        (["worker"], {}, 1, "no worker is needed"),
        (["--env-file", "missing.env", "check"], {}, 2, "missing.env cannot be read"),
        (["sweep"], {}, 1, "run 'tusfm migrate'"),
        (["nonsense"], {}, 2, "invalid choice"),
        (["uploads", "list"], {}, 1, "run 'tusfm migrate'"),
        (["uploads", "list", "--older-than", "soon"], {}, 2, "an age is a number of seconds"),
        (["uploads", "list", "--before", "then"], {}, 2, "a mark is what the page before said"),
        (["sweep", "--dry-run", "--orphans"], {}, 2, "not allowed with"),
        (["serve", "--port", "0"], {"MINIO_ENDPOINT": "ftp://minio"}, 2, "MINIO_ENDPOINT must be a host"),
        (["serve", "--port", "0"], {"TUSFM_S3_PREFIX": "/"}, 2, "TUSFM_S3_PREFIX must be"),
        (
            ["migrate"],
            {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "1"},
            1,
            "cannot be migrated: the database does not answer",
        ),
    ],
)
def test_errors_are_sentences(
    tmp_path: Path, arguments: Sequence[str], settings: dict[str, str], status: int, words: str
) -> None:
    """What goes wrong is one sentence on standard error, and a status that is not 0."""
    done = run(tmp_path, *arguments, **settings)
    assert (done.returncode, words in said(done)) == (status, True), done.stderr


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A full disk below standard output is a sentence and a status; a reader who has enough is neither."""
    command = [str(TUSFM), "check", "--settings"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRON, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, said(done)) == (1, "tusfm: The output cannot be written: No space left on device.")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRON, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, said(done)) == (0, "")


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    """A port that somebody has is named."""
    with ServerProcess(tmp_path / "first") as first:
        done = run(tmp_path, "serve", "--port", str(first.port))
    assert (done.returncode, f"port {first.port}" in said(done)) == (1, True)


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    """`tusfm migrate` says what it did, and the second time that there was nothing to do."""
    assert run(tmp_path, "migrate").stdout == f"The database was brought from nothing to revision {HEAD_REVISION}.\n"
    assert run(tmp_path, "migrate").stdout == f"The database is at revision {HEAD_REVISION} already.\n"


def test_migrations_that_start_at_once(tmp_path: Path) -> None:
    """Of four that start at once one migrates, and the others find it done."""
    (tmp_path / "data").mkdir()
    environ = {**os.environ, "TUSFM_DATA_DIR": str(tmp_path / "data")}
    started = [subprocess.Popen([TUSFM, "migrate"], env=environ, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    lines = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert sum("brought" in line for line in lines) == 1


def test_check_says_a_line_for_each_backend(tmp_path: Path) -> None:
    """`tusfm check` fails before the migration and passes after it; `--settings` shows all settings."""
    before = run(tmp_path, "check")
    assert (before.returncode, "run 'tusfm migrate'" in before.stdout) == (1, True)
    run(tmp_path, "migrate")
    after = run(tmp_path, "check")
    tried = ["database reached", "database migrated", "database written", "database's clock", "directory written"]
    assert (after.returncode, after.stdout.splitlines()) == (0, [f"{one}: ok" for one in tried])
    assert "TUSFM_MAX_SIZE=" in run(tmp_path, "check", "--settings").stdout


def test_check_goes_the_way_of_an_upload_in_production(
    tmp_path: Path, mysql_server: URL, minio_server: S3Server, rabbitmq_server: Rabbit
) -> None:
    """`tusfm check` says a line for each step on MySQL, S3 and RabbitMQ, and which one does not work; it shows no secret."""
    with migrated(mysql_server) as url:
        settings = ProductionStack(url, minio_server, BUCKET).settings | rabbitmq_server.settings("test-check")
        well = run(tmp_path, "check", **settings)
        assert (well.returncode, well.stdout.count(": ok\n"), well.stdout.count("\n")) == (0, 11, 11)
        for wrong, said_of in (
            ({"MINIO_SECRET_KEY": "wrong-secret"}, "bucket reached: the storage does not accept the secret key"),
            ({"MINIO_ENDPOINT": f"127.0.0.1:{free_port()}"}, "bucket reached: the storage does not answer"),
            ({"RABBITMQ_PORT": str(free_port())}, "broker reached: the broker does not answer; look at RABBITMQ_HOST"),
            ({"RABBITMQ_DEFAULT_PASS": "wrong-secret"}, "broker reached: the broker does not accept us"),
            ({"MYSQL_PORT": str(free_port())}, "database reached: the database"),
            ({"MYSQL_DATABASE": "nowhere"}, "database reached: there is no database of this name"),
        ):
            done = run(tmp_path, "check", **{**settings, **wrong})
            assert (done.returncode, said_of in done.stdout) == (1, True), done.stdout
            assert minio_server.secret not in done.stdout + done.stderr
            assert "wrong-secret" not in done.stdout + done.stderr


def test_a_misspelt_setting_is_warned_of(tmp_path: Path) -> None:
    """A TUSFM_ name that means nothing is told of, and ignored."""
    assert "TUSFM_MAXSIZE is no setting" in said(run(tmp_path, "migrate", TUSFM_MAXSIZE="1"))


def test_a_settings_file_in_the_folder_is_read(tmp_path: Path) -> None:
    """`.env` in the working directory is read."""
    (tmp_path / ".env").write_text("TUSFM_MAX_SIZE=123\n")
    assert "TUSFM_MAX_SIZE=123 " in run(tmp_path, "check", "--settings").stdout


def test_the_log_can_be_json(tmp_path: Path) -> None:
    """With TUSFM_LOG_FORMAT=json each line is an object."""
    with ServerProcess(tmp_path / "server", {"TUSFM_LOG_FORMAT": "json"}) as server:
        lines = [json.loads(line) for line in server.log().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert any("serves" in line["message"] for line in lines)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly(tmp_path: Path, name: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the server with status 0 and no noise."""
    server = ServerProcess(tmp_path / "server")
    server.start()
    assert server.process is not None
    server.process.send_signal(name)
    assert server.process.wait(60) == 0
    assert "Traceback" not in server.log()


def create(server: ServerProcess, size: int) -> str:
    """Create an upload."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
    request = urllib.request.Request(f"{server.url}/files/", method="POST", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Location"])


def children(server: ServerProcess) -> list[int]:
    """List the workers' pids."""
    assert server.process is not None
    pid = server.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_workers_share_the_port_and_are_replaced(tmp_path: Path) -> None:
    """With --workers 2, and no standard input or output, a worker that is killed is replaced, and requests are answered."""
    with ServerProcess(tmp_path / "server", arguments=["--workers", "2"], command=["-c", BARE]) as server:
        create(server, 1)
        server.await_(lambda: len(children(server)) == 2)
        before = children(server)
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            create(server, 1)
        end = time.monotonic() + 60
        while len(set(children(server)) - set(before)) < 1 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(children(server)) == 2


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed its workers end by themselves."""
    server = ServerProcess(tmp_path / "server", arguments=["--workers", "2"])
    server.start()
    workers = children(server)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_other_machines_are_warned_of(tmp_path: Path) -> None:
    """A start that listens on more than localhost says so in one line."""
    with ServerProcess(tmp_path / "server", arguments=["--host", "0.0.0.0"]) as server:  # noqa: S104  the point of the test
        assert "whoever reaches it may upload" in server.log()
