"""An event loop whose time is virtual and whose order is chosen by a seed, and processes that can be frozen and lost in it.

What is ready may run in any order, as in a machine with many cores; when nothing is ready, time goes on to the next timer.
Whatever belongs to a process bears it in its context: while the process is frozen, its callbacks are put aside.
"""

import asyncio
import contextvars
import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

OWNER: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("owner", default=None)

MOST_STEPS = 500_000
TICK_SECONDS = 1e-7


class Process:
    """A process: frozen, its callbacks wait; lost, they never run again."""

    def __init__(self, name: str) -> None:
        """Begin running."""
        self.name = name
        self.frozen = self.lost = False
        self.parked: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)


class SeededFuture(asyncio.Future[Any]):
    """A future whose place in a set does not depend on its address."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        """Take its number."""
        super().__init__(loop=loop)
        self._number = number

    def __hash__(self) -> int:
        """Return the number."""
        return self._number


class SeededTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    _number = 0

    def __hash__(self) -> int:
        """Return the number."""
        return self._number


class SeededLoop(asyncio.BaseEventLoop):
    """A loop without a clock and without sockets."""

    def __init__(self, random: Random, *, shuffled: bool) -> None:
        """Begin at second 0. *shuffled* False keeps asyncio's own order of what is ready."""
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self._random = random.random
        self._shuffled = shuffled
        self._ready: list[asyncio.Handle] = []
        self._scheduled: list[asyncio.TimerHandle] = []
        self._numbers = itertools.count(1)

    def create_future(self) -> asyncio.Future[Any]:
        """Number each future."""
        return SeededFuture(next(self._numbers), self)

    def create_task(self, coro: Any, *, name: Any = None, context: contextvars.Context | None = None) -> Any:
        """Number each task."""
        SeededTask._number = next(self._numbers)  # its own comes too late: a task enters a set while it is made
        task = SeededTask(coro, loop=self, name=name, context=context)
        task._number = SeededTask._number
        return task

    def time(self) -> float:
        """Return virtual seconds; to look at the clock takes a while, or code that waits for a tick would never see it."""
        self.now += TICK_SECONDS
        return self.now

    def _run_once(self) -> None:
        """Run one callback (asyncio's name for a turn of its loop)."""
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            self.now = max(self.now, scheduled[0]._when)  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._when <= self.now:  # type: ignore[attr-defined]
            timer = heapq.heappop(scheduled)
            if not timer._cancelled:
                ready.append(timer)
        if ready:
            self._run(self._next(ready))
        if self.steps > MOST_STEPS:
            raise RuntimeError(f"{MOST_STEPS} steps did not come to an end")

    def _next(self, ready: list[asyncio.Handle]) -> asyncio.Handle:
        if not self._shuffled or len(ready) == 1:
            return ready.pop(0)
        index = int(self._random() * len(ready))
        ready[index], ready[-1] = ready[-1], ready[index]
        return ready.pop()

    def _run(self, handle: asyncio.Handle) -> None:
        self.steps += 1
        owner: Process | None = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is None or not (owner.frozen or owner.lost):
            if not handle._cancelled:
                handle._run()
        elif not owner.lost:
            owner.parked.append(handle)

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on, with all that has become due meanwhile."""
        process.frozen = False
        self._ready += process.parked
        process.parked = []

    def run_in_executor(self, _: object, func: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Do it at once: a thread would have an order of its own."""
        future = self.create_future()
        future.set_result(func(*arguments))
        return future

    def _write_to_self(self) -> None:
        """There is nothing to wake."""

    def _process_events(self, _: object) -> None:
        """There are no sockets."""
