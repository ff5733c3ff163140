"""The embedded stack beside a bare handler, in one run.

    python -m benchmarks.embedded [ROUNDS]

Both are durable when they answer: the bare handler syncs as often as the engine does, but knows nothing of offsets.
Rounds alternate (A B A B …); medians are printed, with the ratio of each pair, for machines differ and drift.
"""

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping

from benchmarks.load import MIB, Connection, small_files, streams, timed
from benchmarks.servers import Server

Work = Callable[[int], Awaitable[int]]


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
