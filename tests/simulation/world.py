"""One run of the simulation: its clock, its backends, its processes, and what was said."""

import asyncio
import contextvars
import gc
import logging
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from tests.simulation import scale
from tests.simulation.invariants import Invariants, Model
from tests.simulation.loop import OWNER, Process, SeededLoop
from tests.simulation.metadata import SimulatedMetadata, Tables
from tests.simulation.storage import Shelf
from tests.simulation.ways import MetadataWay, StorageWay
from tests.simulation.weather import Weather
from tusfm import wiring
from tusfm.domain.errors import TusfmError
from tusfm.ports.finalization import Finalization
from tusfm.ports.metadata import Pending
from tusfm.wiring import Engine

T = TypeVar("T")
MOST_WAITS = 20  # of a task on its way out
BEGAN = 1_790_000_000.0  # seconds since 1970 at which virtual time begins


class NoAnswer(Exception):
    """The client waited for long enough, or its connection broke with the process at its other end."""


class Server(Process):
    """A process of the product, and the requests that clients have in it."""

    def __init__(self, world: "World", name: str) -> None:
        """Put its engine together; nothing runs yet."""
        super().__init__(name)
        self._world = world
        metadata = SimulatedMetadata(world.tables, MetadataWay(world, self), name)
        settings = replace(world.settings, memory_budget=world.random.choice((1200, 4000, 100_000)))
        self.engine: Engine = wiring.assemble(settings, name, metadata, StorageWay(world, self))
        dispatcher: Any = self.engine.dispatcher
        dispatcher._events = world.events
        dispatcher._finalization = Submissions(world, dispatcher._finalization)
        self.requests: dict[asyncio.Future[Any], None] = {}
        self.task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def start(self) -> None:
        """Run."""
        self.task = self._world.loop.create_task(self._run(), context=self.context)

    async def _run(self) -> None:
        async with self.engine.running():
            await self._stop.wait()
            self.engine.drain()
            while self.requests:
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End as SIGTERM does: requests checkpoint, and the rest is let go."""
        self._stop.set()

    @property
    def answers(self) -> bool:
        """Whether a client that chooses it gets through to it: a frozen process still has its sockets."""
        return not (self.lost or self._stop.is_set())


class Submissions:
    """Implements ports.finalization.Finalization: what is submitted may get lost, or be done twice."""

    def __init__(self, world: "World", inner: Finalization) -> None:
        """Take the product's own, which runs attempts in the process."""
        self._world = world
        self._inner = inner

    async def submit(self, upload_id: str) -> None:
        """Hand it on, mostly."""
        for _ in range(1 if self._world.calm else self._world.random.choice((0, 1, 1, 1, 2))):
            await self._inner.submit(upload_id)


class Events:
    """Implements ports.finalization.EventLog: remembers what was published."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.heard: set[tuple[str, str]] = set()

    async def publish(self, events: Sequence[Pending]) -> None:
        """Hear of changes: the upload, and what became of it."""
        for one in events:
            self.heard.add((one.message.upload_id, one.message.kind))


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int, *, tracing: bool = False, statements: Mapping[str, str] | None = None) -> None:
        """Begin at virtual second 0. *statements*: stretches of the product's SQL that are to be others."""
        self.seed = seed
        self.random = Random(seed)
        self.settings = scale.settings(self.random)
        self.alone_seconds = scale.DAY / 4
        """How long all processes may still stand still: storages abort multipart uploads of a day, served or not."""
        self.loop = SeededLoop(Random(seed + 1), shuffled=self.random.random() < 0.7)
        self.outside = contextvars.copy_context()
        self.tables = Tables(lambda: BEGAN + self.loop.now, statements)
        self.shelf = Shelf(self.loop.time, self.random.choice((scale.DAY, float("inf"))))
        self.weather = Weather(Random(seed + 2))
        self.events = Events()
        self.invariants = Invariants(self)
        self.servers: list[Server] = []
        self.all_servers: list[Server] = []
        self.calm = self.closed = False
        self.violation: str | None = None
        self._playing: asyncio.Task[None] | None = None
        self.lines: list[str] | None = [] if tracing else None
        self.over: asyncio.Future[None] = self.loop.create_future()

    # What is said

    def say(self, who: str, *words: object) -> None:
        """Add a line to the trace."""
        if self.lines is not None:
            self.lines.append(f"{self.loop.now:10.3f} {who:>4} {' '.join(str(word) for word in words if word != '')}")

    def fail(self, text: str) -> None:
        """End the run: an invariant does not hold."""
        if self.violation is None and not self.closed:
            self.say("", "VIOLATION:", text)
            self.violation = text
            if not self.over.done():
                self.over.set_result(None)

    # Time

    def at(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Do something after so many seconds, whatever becomes of whoever asked for it."""
        return self.loop.call_later(seconds, call, context=self.outside)

    def begin(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Run something that belongs to no process."""

        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  the run must end with it
                self.fail(f"{type(error).__name__}: {error}")

        task: asyncio.Task[None] = self.loop.create_task(run(), context=self.outside)
        return task

    # Processes

    def start_server(self) -> None:
        """Start another process."""
        if self.calm and self.servers:
            return
        server = Server(self, f"p{len(self.all_servers) + 1}")
        self.say(server.name, "starts")
        self.servers.append(server)
        self.all_servers.append(server)
        server.start()

    def lose(self, process: Process) -> None:
        """End a process as SIGKILL does, and start another in its place."""
        if process.lost or self.calm:
            return
        self.say(process.name, "is lost")
        process.lost = True
        self._replace(process)
        assert isinstance(process, Server)
        for answer in list(process.requests):
            if not answer.done():
                answer.set_exception(NoAnswer("the connection broke"))
                answer.exception()

    def stop_server(self, server: Server) -> None:
        """End a process as SIGTERM does."""
        self.say(server.name, "stops")
        server.stop()
        self._replace(server)

    def _replace(self, process: Process) -> None:
        self.servers = [one for one in self.servers if one is not process]
        self.at(self.weather.latency() if self.calm else self.weather.seconds(), self.start_server)

    def freeze(self, process: Process, seconds: float | None = None) -> None:
        """Let a process stand still for a while, perhaps for most of a day."""
        if process.frozen or process.lost or self.calm:
            return
        seconds = self.weather.long() if seconds is None else seconds
        if not any(one.answers for one in self.servers if one is not process):
            seconds = min(seconds, self.alone_seconds)
            self.alone_seconds -= seconds
        self.say(process.name, f"stands still for {seconds:.1f} s")
        process.frozen = True
        self.at(seconds, lambda: self.thaw(process))

    def thaw(self, process: Process) -> None:
        """Let it go on."""
        if process.frozen and not process.lost:
            self.say(process.name, "goes on")
            self.loop.thaw(process)

    def clear(self) -> None:
        """End all faults; what is under way may still arrive."""
        self.say("", "all is well from now on")
        self.calm = True
        self.weather.clear()
        for server in self.all_servers:
            self.thaw(server)
        while len(self.servers) < 2:
            self.calm = False
            self.start_server()
            self.calm = True

    # The storage

    def rob(self, model: Model) -> None:
        """Abort the multipart uploads of one upload from outside."""
        for name in [name for name, one in self.shelf.unfinished.items() if one.key.split("/")[1] == model.id]:
            self.abort(name)

    def abort(self, name: str) -> None:
        """Abort a multipart upload from outside."""
        key = self.shelf.unfinished[name].key
        self.say("", "somebody aborts the multipart upload of", key)
        model = self.invariants.of(key.split("/")[1])
        if model is not None:
            model.robbed = True
        del self.shelf.unfinished[name]

    # The database

    def committed(self) -> None:
        """Let the transaction that runs take effect, and look at what it changed."""
        self.tables.raw.commit()
        for upload_id in sorted(self.tables.touched):
            self.invariants.row_changed(upload_id)

    # Requests

    async def ask(self, work: Callable[[Engine], Awaitable[T]], patience: float, server: Server | None = None) -> T:
        """Make a request of a process. NoAnswer, or what the engine says; anything else is a violation."""
        if server is None:
            while not (able := [one for one in self.servers if one.answers]):
                await asyncio.sleep(0.1)
            server = self.random.choice(able)
        answer: asyncio.Future[T] = self.loop.create_future()
        server.requests[answer] = None
        patient = self.at(patience, lambda: self._give_up(answer))
        task = self.loop.create_task(self._handled(server, work, answer), context=server.context)
        assert task is not None
        try:
            return await answer
        finally:
            patient.cancel()
            server.requests.pop(answer, None)

    def _give_up(self, answer: asyncio.Future[Any]) -> None:
        if not answer.done():
            answer.set_exception(NoAnswer("no answer came"))
            answer.exception()

    async def _handled(self, server: Server, work: Callable[[Engine], Awaitable[T]], answer: asyncio.Future[T]) -> None:
        try:
            result = await work(server.engine)
        except TusfmError as error:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()
        except Exception as error:  # noqa: BLE001  a request must not end in what nobody foresaw
            self.fail(f"a request ended with {type(error).__name__}: {error}")
        else:
            if not answer.done():
                answer.set_result(result)

    # The run

    def run(self, game: Callable[["World"], Awaitable[None]]) -> str | None:
        """Play, and return what went wrong."""
        with deterministic(self), watched(self):
            self._playing = self.begin(self._played(game))
            self.loop.set_exception_handler(self._unforeseen)
            try:
                self.loop.run_until_complete(self.over)
            finally:
                self._close()
        return self.violation

    async def _played(self, game: Callable[["World"], Awaitable[None]]) -> None:
        await game(self)
        if not self.over.done():
            self.over.set_result(None)

    def _unforeseen(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, TusfmError | OSError):
            self.fail(f"{context.get('message')}: {type(error).__name__}: {error}")

    def _close(self) -> None:
        self.closed = True
        for server in self.all_servers:
            server.lost = True
        self.loop.set_exception_handler(lambda *_: None)
        _let_go(self.loop)
        self.servers, self.all_servers, self._playing = [], [], None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that a lost process never began
            gc.collect()
            self.loop.close()
        self.tables.raw.close()


def _let_go(loop: asyncio.AbstractEventLoop) -> None:
    """End the tasks that never ended; each may try to wait on its way out, and is told again."""
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        for _ in range(MOST_WAITS):
            try:
                task.get_coro().close()
            except BaseException:  # noqa: BLE001, S112  a process is lost, whatever it says
                continue
            break


class _Watcher(logging.Handler):
    """Puts what the product logs into the trace; what it did not foresee is a violation."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG if world.lines is not None else logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        owner = OWNER.get()
        self._world.say(owner.name if owner else "", record.name.rpartition(".")[2] + ":", record.getMessage())
        if record.exc_info and record.exc_info[1] is not None and not (owner and owner.lost):
            error = record.exc_info[1]
            self._world.fail(f"{record.getMessage()}: {type(error).__name__}: {error}")


@contextmanager
def watched(world: World) -> Iterator[None]:
    """Hear what the product logs."""
    log = logging.getLogger("tusfm")
    watcher, level, propagates = _Watcher(world), log.level, log.propagate
    log.addHandler(watcher)
    log.setLevel(watcher.level)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(watcher)
        log.setLevel(level)
        log.propagate = propagates


@contextmanager
def deterministic(world: World) -> Iterator[None]:
    """Take names and times from the seed; cleaning up after lost processes waits until the run is over."""
    random = Random(world.seed + 3)
    collects = gc.isenabled()
    gc.disable()
    places = {
        "secrets:token_hex": lambda size: f"{random.getrandbits(8 * size):0{2 * size}x}",
        "random:getrandbits": random.getrandbits,
        "time:time": lambda: BEGAN + world.loop.now,
        "sys:unraisablehook": lambda _: None,
    }
    with scale.replaced(places):
        try:
            yield
        finally:
            if collects:
                gc.enable()
