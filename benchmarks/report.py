"""Tables of what was measured, between the markers of docs/performance.md."""

import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.running import Results, median_ratio
from benchmarks.servers import DIRECT, SINK, TUSD, TUSFM
from benchmarks.workloads import STACKS, Goal, Workload

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
RED, PLAIN = "\033[31m", "\033[0m"
NAMES = {
    "cpu": "CPU",
    "peak": "peak memory",
    "temp": "temporary files",
    "calls": "requests to S3",
    "up": "bytes up",
    "down": "bytes down",
    "kept": "kept speed",
    "again": "sent again",
    "head": "slowest HEAD",
    "answered": "POST answered in",
    "idle": "idle memory",
    "attempts": "attempts each",
}


def tables(stack: str, results: Results) -> Iterator[str]:
    """Make a table of servers for each workload, and a line for each goal."""
    for workload in STACKS[stack]:
        if not results.of(stack, workload.name, TUSFM):
            continue
        yield f"\n### {workload.name}: {workload.title}\n"
        yield from _table(stack, workload, results)
        yield ""
        yield from (text for text, _ in goals(stack, workload, results))


def _table(stack: str, workload: Workload, results: Results) -> Iterator[str]:
    more = [name for _, name in workload.shown]
    counted = (
        ["S3 requests each" if workload.cost[1] == 1000 else "S3 requests a MiB", "up", "down"] if workload.counted else []
    )
    beside = ["beside tusd"] if TUSD in workload.servers else []
    heads = [workload.unit, *beside, f"CPU, {workload.cost[0]}", "peak MiB", "temp MiB", *more, *counted]
    yield "| server | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    for name in workload.servers:
        cells = _cells(stack, workload, name, results)
        yield f"| {name} | " + " | ".join(cells) + " |"


def _cells(stack: str, workload: Workload, name: str, results: Results) -> list[str]:
    ratio = results.ratio(stack, workload.name, (name, "rate"), (TUSD, "rate"))
    cpu = results.median(stack, workload.name, name, "cpu")
    own = name != DIRECT
    figures = [figure for figure, _ in workload.shown] + (["calls", "up", "down"] if workload.counted else [])
    return [
        spread([one["rate"] for one in results.of(stack, workload.name, name) if "rate" in one]),
        *(["-" if ratio is None else f"{ratio:.2f}"] if TUSD in workload.servers else []),
        number(cpu * workload.cost[1] if cpu is not None and own else None),
        number(results.median(stack, workload.name, name, "peak") if own else None),
        number(results.median(stack, workload.name, name, "temp") if own else None),
        *(number(results.median(stack, workload.name, name, figure)) for figure in figures),
    ]


def spread(values: Sequence[float]) -> str:
    """Write a median, with the smallest and the largest."""
    if not values:
        return "fails"
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def number(value: float | None) -> str:
    """Write a figure with three digits that count."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def goals(stack: str, workload: Workload, results: Results) -> Iterator[tuple[str, bool]]:
    """Hold our figures against what they are to reach: a line, and whether it is met."""
    for goal in workload.goals:
        value = _value(stack, workload, goal, results)
        if value is None:
            continue
        beside = f" beside {goal.of or ''} {goal.against}".replace("  ", " ") if goal.against else ""
        what = NAMES.get(goal.figure, workload.unit if goal.figure == "rate" else goal.figure) + beside
        kind = "at most" if goal.at_most else "at least"
        met = goal.met(value)
        said = "" if met else " **missed**"
        yield f"- {what}: {number(value)} ({kind} {number(goal.reach)}, aim {number(goal.aim)}){said}", met


def _value(stack: str, workload: Workload, goal: Goal, results: Results) -> float | None:
    if goal.against is None:
        value = results.median(stack, workload.name, TUSFM, goal.figure)
        return value * workload.cost[1] if value is not None and goal.figure == "cpu" else value
    if goal.against in results.rounds[stack]:
        other = results.of(stack, goal.against, TUSFM)
        return median_ratio(results.of(stack, workload.name, TUSFM), goal.figure, other, goal.of or goal.figure)
    return results.ratio(stack, workload.name, (TUSFM, goal.figure), (goal.against, goal.of or goal.figure))


def generator(results: Results) -> Iterator[str]:
    """Say what the load generator costs, beside the servers and with a sink in their place."""
    yield "| workload | rate against a sink | generator's CPU there | tusfm's CPU |"
    yield "|---|---|---|---|"
    for workload in STACKS["embedded"]:
        rate = results.median("embedded", workload.name, SINK, "rate")
        load = results.median("embedded", workload.name, SINK, "load")
        cpu = results.median("embedded", workload.name, TUSFM, "cpu")
        if rate is None or load is None or cpu is None:
            continue
        unit, factor = workload.cost
        cells = f"{number(rate)} {workload.unit} | {number(load * factor)} {unit} | {number(cpu * factor)} {unit}"
        yield f"| {workload.name} | {cells} |"


def red_lines(results: Results) -> list[str]:
    """Return the goals that are missed, for a terminal."""
    return [
        f"{RED}{stack} {workload.name} {text.removeprefix('- ').replace('**', '')}{PLAIN}"
        for stack in results.rounds
        for workload in STACKS[stack]
        for text, met in goals(stack, workload, results)
        if not met
    ]


def write(section: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put lines between the markers of a section."""
    text = page.read_text()
    begin, end = f"<!-- measured: {section} -->", f"<!-- end: {section} -->"
    made, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: "\n".join([begin, *lines, end]),
        text,
        flags=re.DOTALL,
    )
    assert count == 1, f"{page} has no place for {section}"
    page.write_text(made)
