"""The production stack on one machine: memory and bytes with eight streams, with 64, and with a thousand slow clients.

    python -m benchmarks.production [ROUNDS]

MinIO and MariaDB are started as the tests start them. Eight streams fit into the memory budget and 64 do not (it holds
eleven), so their ratio shows what waiting for memory costs. Bytes are counted in a run of its own, through a proxy.
"""

import asyncio
import contextlib
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks.load import MIB, Connection, small_files, streams, timed
from benchmarks.servers import Server
from benchmarks.slow_clients import SECONDS, slow
from tests.services import mysql, s3
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, migrated

EIGHT = (8, 256 * MIB)
MANY = (64, 32 * MIB)


@dataclass
class Services:
    """What the server stands on."""

    mysql: URL
    s3: S3Server

    @contextlib.contextmanager
    def server(self, through: S3Server | None = None) -> Iterator[Server]:
        """Start a server on a database and a prefix of its own."""
        with migrated(self.mysql) as url:
            stack = ProductionStack(url, through or self.s3, "tusfm-bench")
            with Server("tusfm", stack.settings) as server:
                yield server


async def rate(services: Services, count: int, size: int) -> tuple[float, float, int]:
    """Run streams once: MiB a second, CPU-seconds a GiB, peak MiB."""
    with services.server() as server:
        done = await timed(lambda: streams(server.port, count, size, size))
        cpu, peak = server.cost()
        return done / MIB, cpu / (count * size / 1024 / MIB), peak


async def bytes_moved(services: Services, count: int, size: int) -> tuple[float, float]:
    """Count what goes to the storage and what comes back, as multiples of the bytes uploaded."""
    with S3Proxy(services.s3) as proxy, services.server(proxy.proxied) as server:
        await streams(server.port, count, size, size)
        return proxy.up / (count * size), proxy.down / (count * size)


async def beside_slow_clients(services: Services, count: int) -> tuple[float, int]:
    """Measure what a fast client keeps of its speed beside slow ones, and the peak MiB."""
    with services.server() as server:
        alone = statistics.median([await timed(lambda: streams(server.port, 1, 512 * MIB, 512 * MIB)) for _ in range(3)])
        stop = asyncio.Event()
        crowd = [asyncio.create_task(slow(server.port, stop)) for _ in range(count)]
        await asyncio.sleep(SECONDS)
        kept = statistics.median([await timed(lambda: streams(server.port, 1, 512 * MIB, 512 * MIB)) for _ in range(3)])
        stop.set()
        await asyncio.gather(*crowd)
        return kept / alone, server.cost()[1]


async def small(services: Services) -> tuple[float, float, float]:
    """Measure small files a second, PATCHes of 1 MiB a second, and the median HEAD in ms."""
    with services.server() as server:
        files = await timed(lambda: small_files(server.port, 2000, 16_384, 16, by_patch=False))
        patches = await timed(lambda: streams(server.port, 1, 128 * MIB, MIB)) / MIB
        async with Connection(server.port) as connection:
            path = await connection.create(100)
            head = statistics.median([await connection.head(path) for _ in range(1000)]) * 1000
        return files, patches, head


async def measure(services: Services, rounds: int) -> None:
    """Run everything, and print it in Markdown."""
    runs: dict[tuple[int, int], list[tuple[float, float, int]]] = {(1, 2048 * MIB): [], EIGHT: [], MANY: []}
    for _ in range(rounds):
        for what, found in runs.items():
            found.append(await rate(services, *what))
    print("| streams | MiB/s | CPU-s a GiB | peak MiB |\n|---|---|---|---|")
    for (count, size), found in runs.items():
        rates = [one[0] for one in found]
        shown = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        cpu = statistics.median(one[1] for one in found)
        print(f"| {count} of {size // MIB} MiB | {shown} | {cpu:.2f} | {max(one[2] for one in found)} |", flush=True)
    ratio = statistics.median(many[0] / eight[0] for many, eight in zip(runs[MANY], runs[EIGHT], strict=True))
    print(f"\n- 64 streams reach {ratio:.2f} of the rate of eight")
    for count, size in (EIGHT, MANY):
        up, down = await bytes_moved(services, count, size)
        print(f"- with {count} streams {up:.2f} times the bytes go up and {down:.2f} times come down", flush=True)
    kept, peak = await beside_slow_clients(services, 1000)
    print(f"- beside 1,000 clients at 4 KiB/s a fast one keeps {kept:.2f} of its speed; peak {peak} MiB")
    files, patches, head = await small(services)
    print(f"- {files:.0f} files of 16 KiB a second, {patches:.0f} PATCHes of 1 MiB a second, HEAD {head:.2f} ms")


def main() -> None:
    """Start the services, and measure."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder, mysql.server(Path(folder)) as database, s3.minio(Path(folder)) as storage:
        if database is None or storage is None:
            sys.exit("MariaDB or MinIO is missing; `make services` gets them.")
        asyncio.run(measure(Services(database, storage), int(sys.argv[1]) if len(sys.argv) > 1 else 3))


if __name__ == "__main__":
    main()
