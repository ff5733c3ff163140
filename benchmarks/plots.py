"""Plots of what was measured, beside docs/performance.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.report import PAGE
from benchmarks.running import Results
from benchmarks.servers import NODE, TUSD, TUSFM
from benchmarks.workloads import STACKS

COLOURS = {TUSFM: "#1f5fa8", TUSD: "#9aa5b1", NODE: "#d1b26f"}
MORE_IS_BETTER = {"MiB/s", "files/s", "PATCH/s", "of its speed"}
FOLDER = PAGE.parent / "plots"


def draw(stack: str, results: Results) -> Path | None:
    """Draw the rates of a stack's workloads, as multiples of tusd's."""
    chosen = [one for one in STACKS[stack] if one.unit in MORE_IS_BETTER and results.of(stack, one.name, TUSFM)]
    if not chosen:
        return None
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for at, server in enumerate((TUSFM, TUSD, NODE)):
        heights = [results.ratio(stack, one.name, (server, "rate"), (TUSD, "rate")) or 0.0 for one in chosen]
        axes.bar(
            [place + 0.27 * (at - 1) for place in range(len(chosen))], heights, 0.27, label=server, color=COLOURS[server]
        )
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_xticks(range(len(chosen)), [one.name for one in chosen])
    axes.set_ylabel("rate, as a multiple of tusd's")
    axes.set_title(f"{stack} stack: more is better")
    axes.legend(frameon=False)
    return _save(figure, stack)


def lines(name: str, title: str, axes: tuple[str, str], series: Mapping[str, Sequence[tuple[float, float]]]) -> Path:
    """Draw how figures grow with something, both logarithmic."""
    figure, plot = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
    for label, points in series.items():
        plot.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
    plot.set_xscale("log")
    plot.set_yscale("log")
    plot.set_xlabel(axes[0])
    plot.set_ylabel(axes[1])
    plot.set_title(title)
    plot.legend(frameon=False)
    return _save(figure, name)


def _save(figure: "mpl.figure.Figure", name: str) -> Path:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.svg"
    mpl.rcParams["svg.hashsalt"] = "tusfm"  # the same figures make the same file
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
