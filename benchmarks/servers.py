"""A server process that is measured: what it costs in processor time and memory."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A server process, and what it costs."""

    def __init__(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Take "tusfm" or "bare", and settings for the environment."""
        self.name = name
        self._settings = settings or {}

    def __enter__(self) -> Self:
        """Start it in a directory of its own."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = tempfile.mkdtemp(prefix="tusfm-bench-", dir=os.environ.get("BENCH_DIR"))
        command = {
            "tusfm": [sys.executable, "-m", "tusfm", "serve", "--port", str(self.port)],
            "bare": [sys.executable, "-m", "benchmarks.bare", self.folder, str(self.port)],
        }[self.name]
        environ = {**os.environ, "TUSFM_DATA_DIR": self.folder, "TUSFM_LOG_LEVEL": "warning", **self._settings}
        self._process = subprocess.Popen(command, env=environ)
        self._wait()
        self._before = self._cpu()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and delete what it stored."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder)

    def _wait(self) -> None:
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        sys.exit(f"{self.name} did not start")

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cost(self) -> tuple[float, int]:
        """Return CPU-seconds since the start, and the peak of memory in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return self._cpu() - self._before, peak // 1024
