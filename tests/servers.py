"""A server process as a test starts it: by its command line, in a directory of its own."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

START_SECONDS = 20.0
STOP_SECONDS = 40.0


def free_port() -> int:
    """Find a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`tusfm serve` on a loopback port; it and its children end with it."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        command: Sequence[str] = ("-m", "tusfm"),
    ) -> None:
        """Take a directory of the test's own, settings for the environment, and more arguments of `serve`."""
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = arguments
        self._command = command
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TUSFM_", "MYSQL_", "MINIO_"))}
        self._environ = {**kept, "TUSFM_DATA_DIR": str(self.data), **(settings or {})}
        self._log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and see that no traceback was written."""
        self.stop()
        assert "Traceback" not in self.log(), self.log()

    def start(self, *, wait: bool = True) -> None:
        """Start the process, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *self._command, "serve", "--port", str(self.port), *self._arguments]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={"PYTHONPATH": str(Path(__file__).parent.parent), **self._environ},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it says that it is ready."""
        end = time.monotonic() + START_SECONDS
        while not self._ready():
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.03)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it, and its children, as a power cut would."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log(self) -> str:
        """Return what it has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def rows(self) -> int:
        """Count the uploads in its database."""
        with sqlite3.connect(f"file:{self.data / 'tusfm.sqlite3'}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT COUNT(*) FROM uploads").fetchone()[0])

    def files(self) -> list[Path]:
        """List what lies in its storage, but for markers."""
        found = [path for top in ("work", "files") for path in (self.data / top).rglob("*") if path.is_file()]
        return [path for path in found if not path.name.startswith("marker.")]
