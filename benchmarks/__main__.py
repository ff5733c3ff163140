"""Measure tusfm beside its peers: `python -m benchmarks`, or `make bench` and `make bench-quick`."""

import argparse
import contextlib
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import growth, plots, report
from benchmarks.peers import build
from benchmarks.running import Plan, Results, run_workload
from benchmarks.servers import Services
from benchmarks.workloads import STACKS, Workload
from tests.services import mysql, rabbitmq, s3
from tusfm.web.build import BuildError

RESULTS = Path("build") / "bench.json"
QUICK_RESULTS = Path("build") / "bench-quick.json"


def main() -> None:
    """Run what was asked for; exit 1 only when something could not be run."""
    options = _options()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = QUICK_RESULTS if options.quick else RESULTS
    if options.report:
        _report(Results.load(kept), quick=options.quick)
        return
    stacks = options.stack or (["production"] if options.quick else list(STACKS))
    if stacks != ["workers"]:  # where there are no peers
        _build_peers()
    results = Results.load(kept) if options.add and kept.exists() else Results()
    with _services() as services:
        plan = Plan(options.rounds or (2 if options.quick else 5), options.scale, brief=options.quick)
        for stack in stacks:
            with _under(stack, services) as its:
                for workload in _chosen(STACKS[stack], options.only, quick=options.quick):
                    run_workload(stack, workload, its, plan, results)
                    results.save(kept)
        if options.growth or not (options.quick or options.only or options.stack):
            growth.run(services)
    _report(results, quick=options.quick)


def _build_peers() -> None:
    try:
        build.tusd()
        build.node_server()
    except BuildError as error:
        sys.exit(f"The peers could not be built. {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="W1, W3c, W4b and W5 in about three minutes")
    parser.add_argument("--rounds", type=int, help="rounds of each workload (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of their full size that workloads have")
    parser.add_argument("--only", nargs="+", metavar="W", help="these workloads")
    parser.add_argument("--stack", nargs="+", choices=sorted(STACKS), help="these stacks (default: all)")
    parser.add_argument("--growth", action="store_true", help="measure also how it grows")
    parser.add_argument("--add", action="store_true", help="keep what was measured before, and add rounds")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the report anew")
    return parser.parse_args()


def _chosen(workloads: Sequence[Workload], only: Sequence[str] | None, *, quick: bool) -> Sequence[Workload]:
    if only:
        return [one for one in workloads if one.name in only]
    return [one for one in workloads if one.quick or not quick]


@contextlib.contextmanager
def _services() -> Iterator[Services]:
    with tempfile.TemporaryDirectory() as folder, mysql.server(Path(folder)) as database, s3.minio(Path(folder)) as storage:
        if database is None or storage is None:
            sys.exit("MariaDB or MinIO is missing; `make services` gets them.")
        yield Services(database, storage)


@contextlib.contextmanager
def _under(stack: str, services: Services) -> Iterator[Services | None]:
    """Give the services that a stack stands on; workers stand on a broker too."""
    if stack != "workers":
        yield services if stack == "production" else None
        return
    with tempfile.TemporaryDirectory() as folder, rabbitmq.rabbitmq(Path(folder)) as broker:
        if broker is None:
            sys.exit("RabbitMQ is missing; `make services` gets it.")
        yield replace(services, broker=broker)


def _report(results: Results, *, quick: bool) -> None:
    """Print all; a full run is also written into docs/performance.md."""
    for stack in results.rounds:
        lines = list(report.tables(stack, results))
        print("\n".join(lines))
        if not quick:
            drawn = plots.draw(stack, results)
            shown = [f"\n![rates of the {stack} stack](plots/{drawn.name})"] if drawn else []
            report.write(stack, [*shown, *lines, ""])
    if not quick and "embedded" in results.rounds:
        report.write("generator", ["", *report.generator(results), ""])
    for line in report.red_lines(results):
        print(line)


if __name__ == "__main__":
    main()
