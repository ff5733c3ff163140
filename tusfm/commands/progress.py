"""How long work shows that it goes on: a line that changes on a terminal, now and then a line in a log."""

import logging
import shutil
import sys
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tusfm.ports.watching import Unwatched

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 10.0

log = logging.getLogger("tusfm")


class Progress(Unwatched):
    """Watches a sweep, for whoever waits for it."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._counts: Counter[str] = Counter()
        self._terminal = sys.stderr.isatty()
        self._every = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Take the line away that changes."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def swept(self, what: str) -> None:
        """Count it, and tell if it is time."""
        self._counts[what] += 1
        now = time.monotonic()
        if now - self._told < self._every:
            return
        self._told = now
        said = ", ".join(f"{name}: {count}" for name, count in sorted(self._counts.items()))
        if self._terminal:
            print(f"\r\x1b[K{said[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
        else:
            log.info("the sweep goes on: %s", said)
