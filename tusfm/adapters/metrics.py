"""Figures for Prometheus, right across the worker processes that share a port.

Each worker keeps its figures in files that are named for its place among the workers (0, 1, …) and not for its process:
one that takes a dead worker's place goes on with its counters, so that none goes back, and the files do not become more.
"""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from tusfm import __version__
from tusfm.domain.errors import TusfmError, Unavailable
from tusfm.engine.events import Event
from tusfm.ports.metadata import Census, Metadata
from tusfm.ports.watching import Exchange, Kind, Standing, Step, Worker

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30, 120, 600, 3600)
BACKEND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
WORK_BUCKETS = (0.025, 0.1, 0.25, 1, 2.5, 5, 15, 60, 300, 1800, 7200)
COUNT_SECONDS = 15.0
COUNT_SHARE = 100  # counting all uploads may take a hundredth of the time, however many they are
CENSUS_SECONDS = 5.0
STATM = Path("/proc/self/statm")


class Family:
    """Counts and times of one kind of work, by what was done and what became of it."""

    def __init__(self, count: Counter, seconds: Histogram) -> None:
        """Take the two; *count* has one label more than *seconds*, the outcome."""
        self._count = count
        self._seconds = seconds
        self._counts: dict[tuple[str, ...], Counter] = {}
        self._times: dict[tuple[str, ...], Histogram] = {}

    def add(self, names: tuple[str, ...], outcome: str, seconds: float) -> None:
        """Count one; looking a label up costs more than counting, so each is looked up once."""
        time_of = self._times.get(names)
        if time_of is None:
            time_of = self._times[names] = self._seconds.labels(*names)
        time_of.observe(seconds)
        counted = (*names, outcome)
        count = self._counts.get(counted)
        if count is None:
            count = self._counts[counted] = self._count.labels(*counted)
        count.inc()


class Stopwatch:
    """Times what it surrounds."""

    __slots__ = ("_began", "_family", "_of")

    def __init__(self, family: Family, of: Step | Exchange) -> None:
        """Take where it is counted, and what it is."""
        self._family = family
        self._of = of

    def __enter__(self) -> None:
        """Begin."""
        self._began = time.perf_counter()

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Count it."""
        seconds = time.perf_counter() - self._began
        of = self._of
        if isinstance(of, Exchange):
            self._family.add((of.method, of.route), str(of.status), seconds)
        else:
            self._family.add((of.name,), of.outcome if error is None else outcome(error), seconds)


def outcome(error: BaseException) -> str:
    """Name what became of work that raised: what a backend answered is no failure of it."""
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, TusfmError):
        return "refused"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "error"


class Holdings:
    """What a server's process holds and uses.

    They begin with the first that is told: a worker, which tells of none, has no figures that say it held nothing.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self._flying = _gauge(registry, "tusfm_http_requests_in_flight", "Requests that are being answered.", "livesum")
        self._memory = _gauge(registry, "tusfm_memory_budget_used_bytes", "Bytes of upload buffers.", "livesum")
        self._budget = _gauge(registry, "tusfm_memory_budget_bytes", "Bytes that upload buffers may have.", "livesum")
        self._full = _gauge(registry, "tusfm_memory_budget_used_ratio", "How full the fullest budget is.", "livemax")
        self._resident = _gauge(registry, "tusfm_resident_memory_bytes", "Memory of the processes.", "livesum")
        self._late = _gauge(registry, "tusfm_loop_late_seconds", "By how much the latest of the loops was late.", "livemax")
        self._processes = _gauge(registry, "tusfm_processes", "Processes that answer.", "livesum")
        self._cpu = Counter("tusfm_cpu_seconds", "Processor time of the processes.", registry=registry)
        self._burnt = 0.0

    def are(self, standing: Standing) -> None:
        """Set them."""
        self._flying.set(standing.requests)
        self._memory.set(standing.memory)
        self._budget.set(standing.budget)
        self._full.set(standing.memory / standing.budget)
        self._late.set(standing.late)
        self._processes.set(1)
        self._resident.set(_resident_bytes())
        burnt = time.process_time()
        self._cpu.inc(burnt - self._burnt)
        self._burnt = burnt


class Metrics:
    """Implements ports.watching.Watch."""

    def __init__(self, worker: Worker | None = None) -> None:
        """Register everything; *worker* None: this process has its port for itself."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the page
        self.registry = own = CollectorRegistry()
        if worker is not None:
            os.environ[DIRECTORY] = str(worker.directory)
            values.ValueClass = values.MultiProcessValue(lambda: worker.place)  # type: ignore[no-untyped-call]
            self.registry = CollectorRegistry()
            MultiProcessCollector(self.registry, str(worker.directory))  # type: ignore[no-untyped-call]
        self._requests = Family(
            Counter("tusfm_http_requests", "Requests answered.", ["method", "route", "status"], registry=own),
            _histogram(own, "tusfm_http_request", "Requests", REQUEST_BUCKETS, ["method", "route"]),
        )
        self._kinds = {
            Kind.DATABASE: _family(own, "tusfm_database_transaction", "Transactions", BACKEND_BUCKETS),
            Kind.S3: _family(own, "tusfm_s3_request", "Requests to S3, each attempt by itself", BACKEND_BUCKETS),
            Kind.FINALIZATION: _family(own, "tusfm_finalization", "Attempts to finish an upload", WORK_BUCKETS),
            Kind.SWEEP: _family(own, "tusfm_sweep", "Sweeps", WORK_BUCKETS),
        }
        self._received = Counter("tusfm_received_bytes", "Bytes of request bodies that came in.", registry=own)
        self._stored = Counter("tusfm_stored_bytes", "Bytes of uploads that became durable.", registry=own)
        self._happened = Counter("tusfm_uploads_changed", "Uploads that changed.", ["event"], registry=own)
        self._waits = _histogram(own, "tusfm_queue", "Waiting", WORK_BUCKETS, ["queue"])
        self._swept = Counter("tusfm_swept", "What sweeps did.", ["what"], registry=own)
        self._last_sweep = _gauge(own, "tusfm_last_sweep_timestamp_seconds", "When a sweep was done.", "max")
        self._own = own
        self._holdings: Holdings | None = None
        for event in Event:
            self._happened.labels(event.value)  # a count that begins with its first event cannot be seen to grow

    def exchange(self, exchange: Exchange) -> AbstractContextManager[object]:
        """Count and time a request."""
        return Stopwatch(self._requests, exchange)

    def step(self, step: Step) -> AbstractContextManager[object]:
        """Count and time a step."""
        stopwatch = Stopwatch(self._kinds[step.kind], step)
        return self._sweep(stopwatch) if step.kind is Kind.SWEEP else stopwatch

    @contextmanager
    def _sweep(self, stopwatch: Stopwatch) -> Iterator[None]:
        """Remember when a sweep ended well."""
        with stopwatch:
            yield
        self._last_sweep.set(time.time())

    def received(self, size: int) -> None:
        """Count bytes."""
        self._received.inc(size)

    def stored(self, size: int) -> None:
        """Count bytes."""
        self._stored.inc(size)

    def happened(self, event: str) -> None:
        """Count a change."""
        self._happened.labels(event).inc()

    def waited(self, queue: str, seconds: float) -> None:
        """Time a wait."""
        self._waits.labels(queue).observe(seconds)

    def swept(self, what: str) -> None:
        """Count it."""
        self._swept.labels(what).inc()

    def stands(self, standing: Standing) -> None:
        """Set what is held now."""
        if self._holdings is None:
            self._holdings = Holdings(self._own)
        self._holdings.are(standing)


def _histogram(registry: CollectorRegistry, name: str, what: str, buckets: tuple[float, ...], labels: list[str]) -> Histogram:
    return Histogram(f"{name}_seconds", f"{what}, by seconds.", labels, buckets=buckets, registry=registry)


def _family(registry: CollectorRegistry, name: str, what: str, buckets: tuple[float, ...]) -> Family:
    count = Counter(f"{name}s", f"{what}, by outcome.", ["operation", "outcome"], registry=registry)
    return Family(count, _histogram(registry, name, what, buckets, ["operation"]))


def _gauge(registry: CollectorRegistry, name: str, what: str, mode: str) -> Gauge:
    """Make a gauge; *mode* says how the workers' values become one."""
    return Gauge(name, what, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def _resident_bytes() -> int:
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux; there it is the most that it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(host: str, port: int, directory: Path) -> None:
    """Serve what several processes keep in a directory, from a thread of this one, which keeps nothing. OSError."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    start_http_server(port, host, registry)


class Page:
    """What Prometheus reads: this machine's figures, and the deployment's own from the database."""

    def __init__(self, metrics: Metrics, metadata: Metadata) -> None:
        """Take both; the deployment's figures are the same wherever they are read."""
        self._registry = metrics.registry
        self._metadata = metadata
        self._census: Census | None = None
        self._due = 0.0
        self._registry.register(self)

    async def text(self) -> bytes:
        """Write the page; without the deployment's figures when the database is away."""
        await self._count()
        return await asyncio.to_thread(generate_latest, self._registry)

    async def _count(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if began < self._due:
            return
        self._due = began + CENSUS_SECONDS  # others who ask meanwhile get what was counted before
        try:
            async with asyncio.timeout(CENSUS_SECONDS):
                self._census = await self._metadata.census()
        except (Unavailable, TimeoutError):
            self._census = None
        ended = loop.time()
        self._due = ended + max(COUNT_SECONDS, (ended - began) * COUNT_SHARE)

    def collect(self) -> Iterator[Metric]:
        """Give prometheus_client what was counted."""
        version = GaugeMetricFamily("tusfm_build_info", "The version.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        census = self._census
        yield GaugeMetricFamily("tusfm_database_up", "Whether the database could be read.", value=census is not None)
        if census is None:
            return
        uploads = GaugeMetricFamily("tusfm_uploads", "Uploads of the deployment.", labels=["state"])
        for state, count in census.uploads.items():
            uploads.add_metric([state.value], count)
        yield uploads
        yield GaugeMetricFamily("tusfm_finalizations_failing", "Uploads whose finishing failed twice.", value=census.failing)
        yield GaugeMetricFamily("tusfm_outbox_messages", "Messages that nobody has taken yet.", value=census.messages)
        yield GaugeMetricFamily("tusfm_outbox_age_seconds", "Age of the oldest of them.", value=census.oldest)
