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

START_SECONDS = 40


@contextlib.contextmanager
def server(folder: Path) -> Iterator[URL | None]:
    """Give the address of a server on which databases can be made; None when there is none to be had."""
    given = os.environ.get("TUSFM_TEST_MYSQL")
    if given:
        yield make_url(given)
        return
    daemon, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if daemon is None or install is None:
        yield None
        return
    data, port = folder / "mysql", free_port()
    made = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *_user()]
    made.append(f"--tmpdir={folder}")  # in a shared one, two that install at once take each other's temporary tables
    done = subprocess.run(made, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [
        *(daemon, "--no-defaults", *_user(), f"--datadir={data}", f"--socket={folder}/mysql.sock", f"--port={port}"),
        *(
            "--bind-address=127.0.0.1",
            f"--tmpdir={folder}",
            f"--pid-file={folder}/mysql.pid",
            "--innodb-buffer-pool-size=32M",
        ),
    ]
    with (folder / "mysql.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(folder, process)
        yield URL.create("mysql+asyncmy", "root", "", "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


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
