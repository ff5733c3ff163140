"""The embedded stack beside a bare handler, in one run.

    python -m benchmarks.embedded [ROUNDS]

Both are durable when they answer: the bare handler syncs as often as the engine does, but knows nothing of offsets.
Rounds alternate (A B A B …); medians are printed, with the ratio of each pair, for machines differ and drift.
"""

import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

from benchmarks.load import MIB, Connection, small_files, streams, timed

TICKS = os.sysconf("SC_CLK_TCK")
Work = Callable[[int], Awaitable[int]]


class Server:
    """A server process, and what it costs."""

    def __init__(self, name: str) -> None:
        """Take "tusfm" or "bare"."""
        self.name = name

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
        environ = {**os.environ, "TUSFM_DATA_DIR": self.folder, "TUSFM_LOG_LEVEL": "warning"}
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


WORKLOADS: Mapping[str, tuple[str, Work]] = {
    "one stream of 2 GiB": ("MiB/s", lambda port: streams(port, 1, 2048 * MIB, 2048 * MIB)),
    "eight streams of 256 MiB": ("MiB/s", lambda port: streams(port, 8, 256 * MIB, 256 * MIB)),
    "2,000 files of 16 KiB, with their creation": (
        "files/s",
        lambda port: small_files(port, 2000, 16_384, 16, by_patch=False),
    ),
    "2,000 files of 16 KiB, by POST and PATCH": (
        "files/s",
        lambda port: small_files(port, 2000, 16_384, 16, by_patch=True),
    ),
    "64 MiB in PATCHes of 64 KiB": ("PATCH/s", lambda port: streams(port, 1, 64 * MIB, 65_536)),
    "256 MiB in PATCHes of 1 MiB": ("PATCH/s", lambda port: streams(port, 1, 256 * MIB, MIB)),
}
UNIT = {"MiB/s": MIB, "files/s": 1}


async def measure(name: str, unit: str, work: Work, patch: int) -> tuple[float, float, int]:
    """Run a workload once: its rate, CPU-seconds and peak memory."""
    with Server(name) as server:
        rate = await timed(lambda: work(server.port))
        cpu, peak = server.cost()
        return rate / UNIT.get(unit, patch), cpu, peak


async def heads() -> float:
    """Return the median milliseconds of a HEAD."""
    with Server("tusfm") as server:
        async with Connection(server.port) as connection:
            path = await connection.create(100)
            return statistics.median([await connection.head(path) for _ in range(2000)]) * 1000


async def main() -> None:
    """Run everything, and print a table in Markdown."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| workload | tusfm | bare handler | ratio | tusfm CPU-s | bare CPU-s | tusfm peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for label, (unit, work) in WORKLOADS.items():
        patch = 65_536 if "64 KiB" in label else MIB
        runs = {"tusfm": [], "bare": []}  # type: dict[str, list[tuple[float, float, int]]]
        for _ in range(rounds):
            for name, found in runs.items():
                found.append(await measure(name, unit, work, patch))
        ours, bare = ([one[0] for one in found] for found in runs.values())
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        cpu = [statistics.median(one[1] for one in found) for found in runs.values()]
        peak = max(one[2] for one in runs["tusfm"])
        shown = " | ".join(f"{statistics.median(one):,.0f} ({min(one):,.0f} to {max(one):,.0f})" for one in (ours, bare))
        print(f"| {label}, {unit} | {shown} | {ratio:.2f} | {cpu[0]:.1f} | {cpu[1]:.1f} | {peak} |", flush=True)
    print(f"\nHEAD of an upload that nobody writes: {await heads():.2f} ms (median of 2,000)")


if __name__ == "__main__":
    asyncio.run(main())
