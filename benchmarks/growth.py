"""How it grows: with rows, with clients, with processes."""

import functools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import plots, processes, report
from benchmarks.breaking import slow_senders
from benchmarks.client import KIB, MIB, Client, expect, together
from benchmarks.report import number
from benchmarks.servers import TUSFM, Services, ours_on, production
from tests.stacks import apart, execute, migrated
from tusfm.adapters import metadata_chunking, metadata_ending, metadata_receiving, metadata_sql, rows
from tusfm.adapters.databases import MYSQL

ROWS = (1_000, 10_000, 100_000, 1_000_000)
CLIENTS = (10, 100, 1_000, 5_000)
PROCESSES = (1, 2, 4)
TRIES = 300
SETTLE_SECONDS = 15.0
STREAM_BYTES = 256 * MIB
MANY_ROWS = 1000  # that no statement should have to look at
MOSTLY = "CASE WHEN seq % 20 = 0 THEN 'receiving' WHEN seq % 100 = 1 THEN 'terminated' ELSE 'available' END"
FILL = (
    "INSERT INTO uploads (id, state, role, epoch, upload_offset, upload_length, metadata, object_key, next_part, answers, "
    "wanted, lease, attempts, created_at, expires_at, ended_at) "
    f"SELECT CONCAT('filled-', seq), {MOSTLY}, IF(seq % 50 = 0, 'partial', 'whole'), 1, 1000, 2000, 'filename ZmlsbGVk', "
    "CONCAT('files/filled-', seq, '/1'), 3, 1, 0, 0, 0, {now}, {now} + 86400000 + seq, {now} - seq FROM seq_1_to_{count}"
)
FILL_EXTENTS = (
    "INSERT INTO extents (upload_id, kind, first_byte, byte_count, object_key, number, etag) "
    "SELECT CONCAT('filled-', seq), 'tail', 0, 1000, CONCAT('work/filled-', seq, '/t/1-1'), 0, '' FROM seq_1_to_{count}"
)
TEXTS = {"id", "process", "writer", "key", "multipart", "error", "name", "digest", "secret", "etag"}


def run(services: Services) -> None:
    """Measure all, and write it into docs/performance.md."""
    lines: list[str] = [""]
    for part in (_by_rows, _by_clients, _by_processes):
        for line in part(services):
            print(line, flush=True)
            lines.append(line)
    report.write("growth", [*lines, ""])


# Rows


def _by_rows(services: Services) -> Iterator[str]:
    """HEAD, PATCH and the sweep beside so many rows, and the plans of all statements beside the most of them."""
    yield "| rows of uploads | HEAD, p50 ms | PATCH of 1 KiB, p50 ms | sweep, s |"
    yield "|---|---|---|---|"
    series: dict[str, list[tuple[float, float]]] = {"HEAD": [], "PATCH": [], "sweep": []}
    scans: Sequence[str] = ()
    for count in ROWS:
        with migrated(services.mysql) as url:
            fill(url, count)
            with ours_on(services, url) as server:
                head, patch = _requests(server.port)
                sweep = _sweep(server.environ)
            scans = long_scans(url)
        for name, value in (("HEAD", head * 1000), ("PATCH", patch * 1000), ("sweep", sweep * 1000)):
            series[name].append((count, value))
        yield f"| {count:,} | {head * 1000:.2f} | {patch * 1000:.2f} | {sweep:.2f} |"
    plots.lines("rows", "beside so many rows", ("rows of uploads", "ms"), series)
    yield "\n![HEAD, PATCH and the sweep beside so many rows](plots/rows.svg)\n"
    yield f"Statements whose plan looks at more than {MANY_ROWS:,} rows: {', '.join(scans) or 'none'}."


def fill(url: URL, count: int) -> None:
    """Make rows: one in twenty is receiving, one in a hundred a tombstone, the others are finished."""
    for statement in (FILL, FILL_EXTENTS, "ANALYZE TABLE uploads, extents"):
        made = statement.replace("{now}", MYSQL.now).replace("{count}", str(count))
        apart(functools.partial(execute, url, made))


def _requests(port: int) -> tuple[float, float]:
    """Return the medians of a HEAD and of a small PATCH, in seconds."""
    with Client(port) as client:
        path, _ = client.create(MIB)
        heads = [expect(200, client.head(path)).seconds for _ in range(TRIES)]
        patches = [client.patch(path, at * KIB, KIB) for at in range(TRIES)]
    return statistics.median(heads), statistics.median(patches)


def _sweep(environ: Mapping[str, str]) -> float:
    """Return the seconds of a sweep that finds nothing to do, without those of the process's start."""
    command = [sys.executable, "-m", "tusfm"]
    seconds = []
    for what in (["sweep"], ["check", "--settings"]):
        began = time.perf_counter()
        subprocess.run([*command, *what], env=environ, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return max(0.0, seconds[0] - seconds[1])


def statements() -> dict[str, str]:
    """Return the statements of the adapters that read or change rows by a condition, by name."""
    found = {}
    for module in (metadata_receiving, metadata_ending, metadata_chunking, metadata_sql):
        for name, value in vars(module).items():
            if isinstance(value, str) and value.startswith("WHERE u."):
                found[name] = rows.SELECT_UPLOAD + value
            elif isinstance(value, str) and value.startswith(("SELECT", "UPDATE", "DELETE")):
                found[name] = value
    return found


def explained(statement: str) -> str:
    """Ask for the plan of a statement, with values in the place of its parameters."""
    made = MYSQL.sql(statement).replace("%(state)s", "'terminated'")
    return "EXPLAIN " + re.sub(r"%\((\w+)\)s", lambda match: "'filled-20'" if match[1] in TEXTS else "1", made)


def long_scans(url: URL) -> Sequence[str]:
    """Return the statements that look at many rows, with how."""
    return [
        f"{name} ({row['type']} of {row['table']}, {int(row['rows']):,})"
        for name, statement in statements().items()
        for row in apart(functools.partial(_fetched, url, explained(statement)))
        if int(row["rows"] or 0) > MANY_ROWS and not _stops(statement, row)
    ]


def _stops(statement: str, row: Mapping[str, Any]) -> bool:
    """Whether it reads in the order of an index and ends at its limit."""
    return "LIMIT" in statement and not re.search("filesort|temporary", row["Extra"] or "")


async def _fetched(url: URL, statement: str) -> Sequence[Mapping[str, Any]]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = (await connection.execute(text(statement))).mappings().all()
    await engine.dispose()
    return [dict(row) for row in found]


# Clients


def _by_clients(services: Services) -> Iterator[str]:
    """Memory beside so many clients that send 4 KiB a second."""
    yield "\n| clients at 4 KiB/s | memory, MiB | CPU-seconds a second | errors |\n|---|---|---|---|"
    points: list[tuple[float, float]] = []
    for count in CLIENTS:
        with production(TUSFM, services) as server, slow_senders(server.port, count) as senders:
            time.sleep(SETTLE_SECONDS)
            before = processes.cpu_seconds(server.pid)
            time.sleep(SETTLE_SECONDS)
            cpu = (processes.cpu_seconds(server.pid) - before) / SETTLE_SECONDS
            memory = processes.memory_mib(server.pid)
            points.append((count, memory))
            yield f"| {count:,} | {memory:,.0f} | {cpu:.2f} | {senders.errors} |"
    plots.lines("clients", "slow clients", ("clients", "MiB"), {"peak memory": points})
    yield "\n![memory beside so many clients](plots/clients.svg)"


# Processes


def _by_processes(services: Services) -> Iterator[str]:
    """Streams and small files with so many processes on one port."""
    yield "\n| processes | eight streams, MiB/s | CPU-s a GiB | peak MiB |\n|---|---|---|---|"
    for count in PROCESSES:
        with production(TUSFM, services, ["--workers", str(count)]) as server:
            time.sleep(SETTLE_SECONDS / 5)  # all of them are there
            size = STREAM_BYTES
            before, began = processes.cpu_seconds(server.pid), time.perf_counter()
            together(8, functools.partial(_stream, server.port, size))
            seconds = time.perf_counter() - began
            cpu = (processes.cpu_seconds(server.pid) - before) / (8 * size / MIB / 1024)
            rate = 8 * size / MIB / seconds
            yield f"| {count} | {number(rate)} | {cpu:.2f} | {processes.memory_mib(server.pid):,.0f} |"


def _stream(port: int, size: int) -> None:
    with Client(port) as client:
        path, _ = client.create(size)
        client.patch(path, 0, size)
