"""MariaDB or MySQL for tests: an address in TUSFM_TEST_MYSQL, else a server of the machine's, started in a directory."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tests.servers import free_port

START_SECONDS = 100


class MysqlProcess:
    """MariaDB in a directory, on a port that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        """Take a directory."""
        self._folder = folder
        self._data = folder / "mysql"
        port = free_port()
        self.url = URL.create("mysql+asyncmy", "root", "", "127.0.0.1", port)
        self.process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Make its tables."""
        made = [
            *(_found("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}"),
            *("--auth-root-authentication-method=normal", *_user()),
            f"--tmpdir={self._folder}",  # in a shared one, two that install at once take each other's temporary tables
        ]
        done = subprocess.run(made, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it serves."""
        folder = self._folder
        command = [
            *(_found("mariadbd"), "--no-defaults", *_user(), f"--datadir={self._data}", f"--socket={folder}/mysql.sock"),
            *(f"--port={self.url.port}", "--bind-address=127.0.0.1", f"--tmpdir={folder}", f"--pid-file={folder}/mysql.pid"),
            "--innodb-buffer-pool-size=32M",
        ]
        with (folder / "mysql.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait(folder, self.process)

    def kill(self) -> None:
        """End it, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it end."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[URL | None]:
    """Give the address of a server on which databases can be made; None when there is none to be had."""
    given = os.environ.get("TUSFM_TEST_MYSQL")
    if given:
        yield make_url(given)
        return
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        yield None
        return
    process = MysqlProcess(folder)
    process.install()
    process.start()
    try:
        yield process.url
    finally:
        process.stop()


def _found(name: str) -> str:
    program = shutil.which(name)
    assert program is not None, f"{name} is missing"
    return program


def _user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    ping = [
        shutil.which("mariadb-admin") or "mariadb-admin",
        "--no-defaults",
        f"--socket={folder}/mysql.sock",
        "-uroot",
        "ping",
    ]
    end = time.monotonic() + START_SECONDS
    while subprocess.run(ping, capture_output=True, check=False).returncode:
        assert process.poll() is None, (folder / "mysql.log").read_text()
        assert time.monotonic() < end, "MariaDB did not start in time"
        time.sleep(0.1)
