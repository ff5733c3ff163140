"""Several worker processes on one listening socket.

The supervisor opens nothing but the socket; each worker is a new process with its own loop, database and storage. A worker
that dies is replaced; workers end when the supervisor does, whatever ended it, for the pipe on their standard input closes.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

FIRST_PAUSE_SECONDS = 0.1
MOST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0  # a worker that lived so long did not die of its start
LOOK_SECONDS = 0.1
GRACE_SECONDS = 5.0  # beyond the time that workers give their requests

log = logging.getLogger("tusfm")


class Worker:
    """One child process, started again when it dies, at growing pauses if it dies young."""

    def __init__(self, command: list[str], fd: int, place: int, figures: Path | None) -> None:
        """Take the command line, the socket's descriptor to pass on, its place, and where workers keep their figures."""
        told = [] if figures is None else ["--place", str(place), "--figures", str(figures)]
        self._command = [*command, *told]
        self._fd = fd
        self._place = place
        self._figures = figures
        self._pause = FIRST_PAUSE_SECONDS
        self._due = 0.0
        self._born = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, now: float) -> None:
        """Start the process if there is none and its time has come."""
        if self.process is not None and self.process.poll() is not None:
            log.warning("worker %d ended with status %d; another one starts", self.process.pid, self.process.returncode)
            self._pause = FIRST_PAUSE_SECONDS if now - self._born > STEADY_SECONDS else self._pause * 2
            self._due = now + min(self._pause, MOST_PAUSE_SECONDS)
            self.end()
            self._forget_figures()
        if self.process is None and now >= self._due:
            self._born = now
            self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, pass_fds=[self._fd])  # noqa: S603

    def _forget_figures(self) -> None:
        """Take away what the dead process held at the end; what it had counted stays, and the next one goes on with it."""
        if self._figures is not None:
            for held in self._figures.glob(f"gauge_live*_{self._place}.db"):
                held.unlink(missing_ok=True)

    def end(self) -> None:
        """Close our end of the pipe."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


class Supervisor:
    """Keeps so many workers running until it is told to stop."""

    def __init__(
        self,
        listening: socket.socket,
        count: int,
        drain_timeout: float,
        env_file: Path | None,
        figures: Path | None,
    ) -> None:
        """Take the open socket, the number of workers, and a directory for their figures, if they are to keep any."""
        chosen = [] if env_file is None else ["--env-file", str(env_file)]
        fd = listening.fileno()
        command = [sys.executable, "-m", "tusfm", *chosen, "serve", "--listen-fd", str(fd)]
        os.set_inheritable(fd, True)
        self._workers = [Worker(command, fd, place, figures) for place in range(count)]
        self._drain_timeout = drain_timeout
        self._stopping = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then let the workers drain; one that does not end is killed."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        while not self._stopping:
            for worker in self._workers:
                worker.look(time.monotonic())
            time.sleep(LOOK_SECONDS)
        self._end()

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        end = time.monotonic() + self._drain_timeout + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker %d did not end in time", process.pid)
                process.kill()
                process.wait()
