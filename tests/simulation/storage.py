"""The storage of a simulation: tests.memory_storage without waiting, and each process's way to it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.memory_storage import MemoryStorage, Multipart
from tests.simulation.scale import MIN_PART

T = TypeVar("T")


class Shelf(MemoryStorage):
    """The storage itself: every call takes effect in one moment."""

    def __init__(self, now: Callable[[], float], most_age: float) -> None:
        """Take the clock, and the seconds after which a multipart upload is aborted, as some storages do."""
        super().__init__(MIN_PART, most_age)
        self._now = now

    async def _call(self, _: str) -> None:
        for name in [name for name, one in self.unfinished.items() if self._now() - one.began > self.most_age]:
            del self.unfinished[name]

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin a multipart upload, by virtual time."""
        name = await super().begin(key, content_type)
        self.unfinished[name] = Multipart(key, content_type, began=self._now())
        return name


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
