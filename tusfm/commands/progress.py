"""How long work shows that it goes on: a line that changes on a terminal, now and then a line in a log."""

import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tusfm.ports.watching import Unwatched

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 10.0

log = logging.getLogger("tusfm")


class Line:
    """What is going on, told when it is time: the same line again on a terminal, a new one in a log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count the time, in seconds."""
        self._clock = clock
        self._terminal = sys.stderr.isatty()
        self._every = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
        self._told = clock()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Take the line away that changes."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def tell(self, what: Callable[[], str]) -> None:
        """Tell, if it is time."""
        now = self._clock()
        if now - self._told < self._every:
            return
        self._told = now
        if self._terminal:
            print(f"\r\x1b[K{what()[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
        else:
            log.info("it goes on: %s", what())


class Sweeping(Unwatched):
    """Watches a sweep, for whoever waits for it."""

    def __init__(self, line: Line) -> None:
        """Begin with nothing done."""
        self._line = line
        self._counts: Counter[str] = Counter()

    def swept(self, what: str) -> None:
        """Count it."""
        self._counts[what] += 1
        self._line.tell(lambda: ", ".join(f"{name}: {count}" for name, count in sorted(self._counts.items())))
