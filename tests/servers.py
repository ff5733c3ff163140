"""A server process as a test starts it: by its command line, in a directory of its own."""

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

START_SECONDS = 100.0
STOP_SECONDS = 60.0
WORKERS = 8  # that have ports of their own
OURS = ("TUSFM_", "MYSQL_", "MINIO_", "RABBITMQ_", "AWS_")  # of settings


def _ports() -> Iterator[int]:
    """Go round the ports of this worker of a run, from anywhere; the kernel gives none of them to outgoing connections."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = range(11_000 + worker % WORKERS * 2_500, 13_500 + worker % WORKERS * 2_500)
    start = secrets.randbelow(len(share))
    return itertools.cycle([*share[start:], *share[:start]])


_PORTS = _ports()


def free_port() -> int:
    """Find a loopback port on which nobody listens, and which no other test will be given meanwhile."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


class CommandProcess:
    """The command line as a process of a test's own; it and its children end with it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, str] | None,
        arguments: Sequence[str],
        command: Sequence[str] = ("-m", "tusfm"),
    ) -> None:
        """Take a directory of the test's own, a name for the log, settings for the environment, and the arguments."""
        self.folder = folder
        self.data = folder / "data"
        self._command = [sys.executable, *command, *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._environ = {**kept, "TUSFM_DATA_DIR": str(self.data), **(settings or {})}
        self._log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._asked = False

    def __exit__(self, *_: object) -> None:
        """Stop, if it was started, and see that no traceback was written."""
        if self.process is not None:
            self.stop()
        assert "Traceback" not in self.log(), self.log()

    def launch(self) -> None:
        """Start the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._asked = False
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env={"PYTHONPATH": str(Path(__file__).parent.parent), **self._environ},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def await_(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready."""
        end = time.monotonic() + START_SECONDS
        while not ready():
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.03)

    def kill(self) -> None:
        """End it, and its children, as a power cut would."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask_to_end(self) -> None:
        """Ask it to end, once: asked again, some let their work lie."""
        assert self.process is not None
        if not self._asked and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._asked = True

    def stop(self) -> int:
        """Ask it to end, and return its status."""
        assert self.process is not None
        self.ask_to_end()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def log(self) -> str:
        """Return what it has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class ServerProcess(CommandProcess):
    """`tusfm serve` on a loopback port."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        command: Sequence[str] = ("-m", "tusfm"),
    ) -> None:
        """Take a directory of the test's own, settings for the environment, and more arguments of `serve`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, "server", settings, ["serve", "--port", str(self.port), *arguments], command)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def start(self, *, wait: bool = True) -> None:
        """Start the process, and wait until it is ready."""
        self.launch()
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it says that it is ready."""
        self.await_(self._ready)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class WorkerProcess(CommandProcess):
    """`tusfm worker`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *arguments: str) -> None:
        """Take a directory of the test's own, settings for the environment, and Celery's options."""
        super().__init__(folder, "worker", settings, ["worker", "--concurrency", "1", *arguments])

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def start(self, *, wait: bool = True) -> None:
        """Start the process, and wait until it takes work."""
        before = self.log().count(" ready.")
        self.launch()
        if wait:
            self.await_(lambda: self.log().count(" ready.") > before)
