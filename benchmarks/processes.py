"""What a process and its children cost, as Linux tells it."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
LOOK_SECONDS = 0.05


def tree(pid: int) -> list[int]:
    """Return the process and its children, and theirs."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Return the processor time of the tree, with that of children that have ended."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def memory_mib(pid: int, field: str = "VmHWM") -> float:
    """Return the memory of the tree: the sum of its processes' peaks, or of what they have now (VmRSS)."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
    return total / 1024


class FolderWatch:
    """The most bytes that lay in a folder at one time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which only one server uses."""
        self._folder = folder
        self._over = threading.Event()
        self.peak = 0

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look every 50 ms, from a thread."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            size = 0
            for path in self._folder.rglob("*"):
                with contextlib.suppress(OSError):
                    size += path.stat().st_blocks * 512
            self.peak = max(self.peak, size)


def generator_seconds() -> float:
    """Return the processor time of the load generator, which is this process."""
    return time.process_time()
