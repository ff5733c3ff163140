"""One run of one workload on one server: what was done, how long it took, and what it cost."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import processes
from benchmarks.processes import FolderWatch
from benchmarks.servers import Server

MIB = 1024 * 1024
Figures = dict[str, float]
"""By name: "rate" (units a second), "cpu" (the server's seconds a unit), "load" (the generator's), "peak" (MiB), …"""


@dataclass(slots=True)
class Meter:
    """Measures what a workload does between the beginning and the end of `measured`."""

    server: Server
    scale: float = 1.0
    """Which part of its full size the workload has in this run."""
    amount: float = 0.0
    seconds: float = 0.0
    paused: float = 0.0
    """Seconds within `measured` in which the client did nothing on purpose; they do not count."""
    figures: Figures = field(default_factory=dict)

    @contextlib.contextmanager
    def measured(self, amount: float, *, syncs: bool = False) -> Iterator[None]:
        """Measure so many units of work; *syncs*: also until what was written is safe on the disk."""
        watch = FolderWatch(self.server.temporary)
        self.paused = 0.0
        cpu, load, began = self._cpu_seconds(), processes.generator_seconds(), time.perf_counter()
        with watch.looking():
            yield
            seconds = time.perf_counter() - began - self.paused
        self.amount, self.seconds = amount, seconds
        self.figures["rate"] = amount / seconds
        self.figures["cpu"] = (self._cpu_seconds() - cpu) / amount
        self.figures["load"] = (processes.generator_seconds() - load) / amount
        self.figures["temp"] = watch.peak / MIB
        if syncs:
            self.figures["synced"] = amount / (seconds + sync(self.server))

    def latencies(self, seconds: Sequence[float]) -> None:
        """Note what single requests took, in ms."""
        self.figures["p50"] = statistics.median(seconds) * 1000
        self.figures["p99"] = quantile(seconds, 0.99) * 1000

    def result(self) -> Figures:
        """Return all figures, while the server still runs."""
        return {**self.figures, "peak": sum(map(processes.memory_mib, self.server.pids))}

    def _cpu_seconds(self) -> float:
        return sum(map(processes.cpu_seconds, self.server.pids))


def sync(server: Server) -> float:
    """Have the file system write what it holds; returns the seconds that it took."""
    began = time.perf_counter()
    subprocess.run(["sync", "-f", str(server.data)], check=True)
    return time.perf_counter() - began


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
