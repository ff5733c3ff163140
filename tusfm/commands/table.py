"""Tables on a terminal."""

import shutil
import sys
from collections.abc import Sequence

LEAST_LAST = 12  # columns for the last field, however narrow the terminal is


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Print a line each, the heads first; on a terminal the last field gives way, so that no line is longer than it."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    left = max(shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths), LEAST_LAST)
    for line in lines:
        last = line[-1]
        if sys.stdout.isatty() and len(last) > left:
            last = last[: left - 1] + "…"
        print("  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), last]).rstrip())
