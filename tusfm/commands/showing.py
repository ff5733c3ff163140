"""How files on their way are shown: a bar on a terminal, a line now and then anywhere else."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from tusfm.commands.amounts import shown_age, shown_size

BETWEEN_SECONDS = 10.0


class Shown(Protocol):
    """What the sender tells; results go to standard output, everything else to standard error."""

    def file(self, name: str, size: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Show one file of so many bytes while it is sent; the callable takes each new offset."""

    def say(self, text: str) -> None:
        """Say what went wrong."""

    def done(self, text: str) -> None:
        """Say what was achieved."""


class Speed(ProgressColumn):
    """The speed in the units in which the size stands; rich's own takes others."""

    def render(self, task: Task) -> Text:
        """Write it, once it is known."""
        return Text("" if task.speed is None else f"{shown_size(task.speed)}/s", style="progress.data.speed")


class Bar:
    """A bar with speed and time left."""

    def __init__(self) -> None:
        """Draw on standard error."""
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(binary_units=True),
            Speed(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            expand=True,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._progress.stop()

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show one file."""
        task = self._progress.add_task(escape(name), total=size)
        try:
            yield lambda offset: self._progress.update(task, completed=offset)
        finally:
            self._progress.remove_task(task)

    def say(self, text: str) -> None:
        """Write above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def done(self, text: str) -> None:
        """Write to standard output, above the bar if that is the same terminal."""
        if sys.stdout.isatty():
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)


class Lines:
    """A line now and then."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left."""

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Tell of one file."""
        began = told = time.monotonic()
        first: int | None = None

        def moved(offset: int) -> None:
            nonlocal told, first
            now = time.monotonic()
            if first is None:
                first = offset
                if offset:
                    self.say(f"{name}: goes on at {shown_size(offset)} of {shown_size(size)}")
            elif now - told >= BETWEEN_SECONDS:
                told = now
                speed = (offset - first) / (now - began)
                left = shown_age((size - offset) / speed) if speed > 0 else "?"
                self.say(f"{name}: {shown_size(offset)} of {shown_size(size)}, {shown_size(speed)}/s, {left} left")

        yield moved

    def say(self, text: str) -> None:
        """Write to standard error."""
        print(text, file=sys.stderr, flush=True)

    def done(self, text: str) -> None:
        """Write to standard output."""
        print(text, flush=True)


def shown() -> contextlib.AbstractContextManager[Shown]:
    """Choose by whether somebody looks on."""
    return Bar() if sys.stderr.isatty() else Lines()
