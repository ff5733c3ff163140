"""A process's ways to storage and database: what its adapters are in the simulation."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sqlalchemy.util import await_only

from tests.simulation.loop import Process
from tests.simulation.metadata import Direct
from tests.simulation.scale import MIN_PART
from tests.simulation.storage import at_once
from tests.simulation.weather import Fate
from tusfm.domain.errors import StorageUnavailable, TusfmError
from tusfm.ports.checks import Checks
from tusfm.ports.links import Links
from tusfm.ports.storage import Part, Pieces, Source

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
CHANGING = {"delete", "complete", "abort"}


class ProcessLost(BaseException):
    """Code of a lost process ran again, for Python cleans up what is left of it."""


class Call(Generic[T]):
    """One call to the storage, under way."""

    def __init__(  # what a call is
        self,
        world: "World",
        name: str,
        keys: str,
        effect: Callable[[], Coroutine[Any, Any, T]],
        answer: asyncio.Future[T],
    ) -> None:
        """Take what it does, and where its answer goes."""
        self._world = world
        self._name, self._keys = name, keys
        self._effect = effect
        self._answer = answer

    def take_effect(self) -> T | TusfmError:
        """Do it in the storage; a refusal is the result."""
        try:
            result: T | TusfmError = at_once(self._effect())
        except TusfmError as error:
            result = error
        self._world.say("", "took effect:", self._name, self._keys, result if isinstance(result, TusfmError) else "")
        if self._name in CHANGING:
            for key in self._keys.split():
                self._world.invariants.object_changed(key)
        return result

    def succeed(self) -> None:
        """Do it, and answer."""
        result = self.take_effect()
        if self._answer.done():
            return
        if isinstance(result, TusfmError):
            self._answer.set_exception(result)
            self._answer.exception()
        else:
            self._answer.set_result(result)

    def fail(self) -> None:
        """Answer that the storage is away."""
        if not self._answer.done():
            self._answer.set_exception(StorageUnavailable("the storage does not answer"))
            self._answer.exception()


class StorageWay:
    """Implements ports.storage.MultipartStorage over the world's storage."""

    min_part = MIN_PART
    links: Links | None = None

    def __init__(self, world: "World", process: Process) -> None:
        """Take the process whose calls these are."""
        self._world = world
        self._process = process

    async def _send(self, name: str, key: str, effect: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Send a call; its effect is the storage's matter from then on, whatever becomes of the caller."""
        world, process = self._world, self._process
        if process.lost:
            raise ProcessLost
        fate = world.weather.fate("storage", world.loop.now)
        world.say(process.name, "storage", name, key, fate.name)
        if fate is Fate.FREEZES_BEFORE:
            world.freeze(process)
            await asyncio.sleep(0)
        answer: asyncio.Future[T] = world.loop.create_future()
        call = Call(world, name, key, effect, answer)
        self._decide(call, fate)
        return await answer

    def _decide(self, call: "Call[T]", fate: Fate) -> None:
        world, weather = self._world, self._world.weather
        soon = weather.latency()
        match fate:
            case Fate.SLOW:
                world.at(weather.seconds(), call.succeed)
            case Fate.REFUSED:
                world.at(weather.seconds(), call.fail)
            case Fate.LOST:
                world.at(soon, call.take_effect)
                world.at(soon + weather.seconds(), call.fail)
            case Fate.LATE:
                world.at(soon, call.fail)
                world.at(soon + weather.long(), call.take_effect)
            case Fate.TWICE:
                world.at(soon, call.take_effect)
                world.at(soon + weather.seconds(), call.succeed)
            case Fate.ECHO:
                world.at(soon, call.succeed)
                world.at(soon + weather.long(), call.take_effect)
            case Fate.KILLS_BEFORE:
                world.lose(self._process)
            case Fate.KILLS_AFTER:
                world.lose(self._process)
                world.at(soon if weather.latency() > soon else weather.long(), call.take_effect)
            case _:
                world.at(soon, call.succeed)
        if fate is Fate.FREEZES_AFTER:
            world.freeze(self._process)

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    def checks(self) -> Checks:
        """Nothing is checked."""
        return []

    async def put(self, key: str, pieces: Pieces) -> None:
        """Keep an object; one that is there already must be the same, for a key is written once."""
        data = b"".join(pieces)

        async def effect() -> None:
            if self._world.shelf.objects.get(key, data) != data:
                self._world.fail(f"the object {key} is written again with other bytes")
            await self._world.shelf.put(key, [data])

        await self._send("put", key, effect)

    async def size(self, key: str) -> int | None:
        """Tell its size; who finds nothing, and will say so for good, may stand still with that."""
        size = await self._send("size", key, lambda: self._world.shelf.size(key))
        if size is None and self._world.weather.hesitates():
            self._world.freeze(self._process)
            await asyncio.sleep(0)
        return size

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Give a stretch."""

        async def effect() -> list[bytes]:
            return [piece async for piece in self._world.shelf.read(key, start, length)]

        for piece in await self._send("read", key, effect):
            yield piece

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget objects."""
        await self._send("delete", " ".join(keys), lambda: self._world.shelf.delete(keys))

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """List keys, as they were a while ago."""

        async def effect() -> list[str]:
            return [key async for key in self._world.shelf.keys(prefix)]

        for key in await self._send("keys", prefix, effect):
            yield key

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin a multipart upload."""
        return await self._send("begin", key, lambda: self._world.shelf.begin(key, content_type))

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Keep a part."""
        data = b"".join(pieces)
        return await self._send(f"put_part {number}", key, lambda: self._world.shelf.put_part(key, multipart, number, [data]))

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Copy a part."""
        return await self._send(
            f"copy_part {number}", key, lambda: self._world.shelf.copy_part(key, multipart, number, source)
        )

    async def complete(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        """Make the object."""
        await self._send("complete", key, lambda: self._world.shelf.complete(key, multipart, parts))

    async def abort(self, key: str, multipart: str) -> None:
        """Drop a multipart upload."""
        await self._send("abort", key, lambda: self._world.shelf.abort(key, multipart))

    async def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """List unfinished multipart uploads, as they were a while ago."""

        async def effect() -> list[tuple[str, str]]:
            return [one async for one in self._world.shelf.multiparts(prefix)]

        for one in await self._send("multiparts", prefix, effect):
            yield one


class Connection(Direct):
    """One transaction of a process: a connection, as the product uses it on the other side of the bridge.

    Its statements and its COMMIT take effect in one moment, so no transaction sees another that is not over.
    """

    def __init__(self, world: "World", process: Process) -> None:
        """Draw what will become of it."""
        super().__init__(world.tables)
        self._world = world
        self._process = process
        self._fate = world.weather.fate("metadata", world.loop.now)
        self._over = False

    def __enter__(self) -> Self:
        """Reach the database. OSError."""
        world = self._world
        if self._process.lost:
            raise ProcessLost
        if self._fate is Fate.FREEZES_BEFORE:
            world.freeze(self._process)
        elif self._fate is Fate.KILLS_BEFORE:
            world.lose(self._process)
        slow = self._fate in {Fate.SLOW, Fate.REFUSED}
        _wait(world.weather.seconds() if slow else world.weather.latency())
        if self._fate is Fate.REFUSED:
            raise OSError("the database does not answer")
        world.tables.touched.clear()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Roll back what was not committed; what was read may be old when it arrives."""
        if self._process.lost:
            return
        super().__exit__(kind)
        if not self._over and (kind is None or issubclass(kind, Exception)):
            _wait(self._world.weather.latency())

    def commit(self) -> None:
        """Let it take effect, or not, or later. OSError: nobody knows which."""
        world, fate = self._world, self._fate
        self._over = True
        if fate is Fate.LATE:
            world.tables.raw.rollback()
            world.at(world.weather.long(), Later(world, self.work))
        else:
            world.committed()
        if world.tables.touched:
            world.say(self._process.name, "committed", " ".join(sorted(world.tables.touched)), fate.name)
        if fate is Fate.KILLS_AFTER:
            world.lose(self._process)
        elif fate is Fate.FREEZES_AFTER:
            world.freeze(self._process)
        _wait(world.weather.latency())
        if fate in {Fate.LOST, Fate.LATE, Fate.TWICE, Fate.ECHO}:
            raise OSError("the answer to COMMIT was lost")


def _wait(seconds: float) -> None:
    """Let others run meanwhile, but for no time at all."""
    if seconds:
        await_only(asyncio.sleep(seconds))


class Later:
    """A transaction whose COMMIT arrives when nobody waits for it any more."""

    def __init__(self, world: "World", work: Callable[[Any], Any]) -> None:
        """Take what it does."""
        self._world = world
        self._work = work

    def __call__(self) -> None:
        """Do it, if its conditions still hold."""
        self._world.tables.touched.clear()
        try:
            self._work(self._world.tables)
        except Exception:  # noqa: BLE001  whatever it says, nobody hears it
            self._world.tables.raw.rollback()
            return
        self._world.say("", "a late COMMIT arrives:", " ".join(sorted(self._world.tables.touched)))
        self._world.committed()


class MetadataWay:
    """A process's way to the database: its connections to the product."""

    def __init__(self, world: "World", process: Process) -> None:
        """Take the process whose connections these are."""
        self._world = world
        self._process = process

    def one(self) -> Connection:
        """Lend a connection."""
        return Connection(self._world, self._process)

    async def close(self) -> None:
        """Do nothing."""
