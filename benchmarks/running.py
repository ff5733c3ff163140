"""Runs workloads: servers in turn, round after round, so that a machine that drifts drifts for all of them."""

import contextlib
import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.client import Unexpected
from benchmarks.meter import Figures, Meter
from benchmarks.servers import DIRECT, Server, Services, embedded, production
from benchmarks.workloads import Workload
from tests.services.s3_proxy import S3Proxy

Start = Callable[[str], AbstractContextManager[Server]]


@dataclass(slots=True)
class Results:
    """Figures by stack, workload and server, a list of rounds each; they can be kept in a file."""

    rounds: dict[str, dict[str, dict[str, list[Figures]]]] = field(default_factory=dict)

    def add(self, stack: str, workload: str, server: str, figures: Figures) -> None:
        """Take the figures of one round."""
        self.rounds.setdefault(stack, {}).setdefault(workload, {}).setdefault(server, []).append(figures)

    def of(self, stack: str, workload: str, server: str) -> Sequence[Figures]:
        """Return the rounds of a server; none when it did not take part."""
        return self.rounds.get(stack, {}).get(workload, {}).get(server, [])

    def median(self, stack: str, workload: str, server: str, figure: str) -> float | None:
        """Return the median of a figure, None where there is none."""
        found = [one[figure] for one in self.of(stack, workload, server) if figure in one]
        return statistics.median(found) if found else None

    def ratio(self, stack: str, workload: str, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
        """Return the median of the ratios within each round; a server and a figure on each side."""
        return median_ratio(self.of(stack, workload, ours[0]), ours[1], self.of(stack, workload, theirs[0]), theirs[1])

    def save(self, path: Path) -> None:
        """Write them down."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.rounds))

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read them."""
        return cls(json.loads(path.read_text()))


def median_ratio(ours: Sequence[Figures], figure: str, theirs: Sequence[Figures], other: str) -> float | None:
    """Divide round by round and take the median; None when a figure is missing or nothing."""
    pairs = zip(ours, theirs, strict=False)
    found = [mine[figure] / its[other] for mine, its in pairs if figure in mine and its.get(other)]
    return statistics.median(found) if found else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run: how many rounds, and at which scale."""

    rounds: int = 5
    part: float = 1.0
    brief: bool = False

    def scale(self, workload: Workload) -> float:
        """Return the part of its full size that a workload has."""
        return self.part * (workload.brief if self.brief else 1.0)


def run_workload(stack: str, workload: Workload, services: Services | None, plan: Plan, results: Results) -> None:
    """Run a workload on its servers in turn, round after round; then once more, counted."""
    for number in range(plan.rounds):
        for name in workload.servers:
            figures = _timed(name, workload, _start(services), plan.scale(workload))
            results.add(stack, workload.name, name, figures)
            shown = f"{figures['rate']:8.2f} {workload.unit}" if "rate" in figures else "failed"
            print(f"{stack:10} {workload.name:4} {number + 1} {name:18} {shown}", flush=True)
    if workload.counted and services is not None:
        _count(stack, workload, services, plan.part * workload.brief, results)


def _start(services: Services | None) -> Start:
    if services is None:
        return embedded
    return lambda name: production(name, services)


def _timed(name: str, workload: Workload, start: Start, scale: float) -> Figures:
    with start(name) as server:
        meter = Meter(server, scale)
        try:
            workload.run(meter)
        except (Unexpected, OSError) as error:
            print(f"{name} fails {workload.name}: {error}", flush=True)
            return {}
        return meter.result()


def _count(stack: str, workload: Workload, services: Services, scale: float, results: Results) -> None:
    """Run once through a proxy that counts; its figures join those of the first round."""
    for name in workload.servers:
        if name == DIRECT:
            continue
        with S3Proxy(services.s3) as proxy:
            through = replace(services, through=proxy.proxied)
            with production(name, through) as server:
                proxy.clear()
                meter = Meter(server, scale)
                with contextlib.suppress(Unexpected, OSError):  # the timed rounds have told of it
                    workload.run(meter)
            if not meter.amount:
                continue
            calls, up, down = sum(proxy.counts.values()), proxy.up, proxy.down
        size = meter.amount * workload.bytes_each
        counted = {"calls": calls / meter.amount, "up": up / size, "down": down / size}
        results.of(stack, workload.name, name)[0].update(counted)
        print(f"{stack:10} {workload.name:4} counted {name:12} {counted}", flush=True)
