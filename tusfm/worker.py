"""The Celery worker: its application, and the one task, which is one call of the engine."""

import asyncio
import contextlib
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from billiard import current_process
from celery import Celery, signals
from celery.worker.consumer import Consumer
from kombu import Connection

from tusfm import wiring
from tusfm.adapters.finalization_celery import SENT_AT, TASK
from tusfm.domain.errors import TusfmError
from tusfm.ports.watching import Worker
from tusfm.settings import Settings, Unusable
from tusfm.wiring import Engine
from tusfm.wiring_watching import build_watched, require_tracing

START_SECONDS = 30.0
STOP_SECONDS = 10.0

log = logging.getLogger("tusfm.worker")


def new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop, uvloop's where there is one."""
    try:
        import uvloop  # noqa: PLC0415  not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class WorkConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, with a queue that is declared as the server does it.

    Delayed delivery, for which Celery would make 28 queues, is not used: the row says when an attempt is due.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Its parts."""

        default_steps = tuple(one for one in Consumer.Blueprint.default_steps if "delayed_delivery" not in one)

    def connect(self) -> Connection:
        """Connect, for as long as it takes, and declare."""
        connection = super().connect()
        self.app.conf.tusfm_address.declare(connection)
        return connection


class Child:
    """A worker's child process: one loop in a thread, for as long as it lives, with the engine and its pools on it."""

    def __init__(self, settings: Settings, watched: Worker | None) -> None:
        """Start the loop, and open the adapters; backends that are away are no error. *watched*: where it keeps figures."""
        self._engine: Engine = build_watched(settings, watched, figures=watched is not None)
        self._loop = new_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._live(),), name="engine", daemon=True
        )
        self._thread.start()
        self._ready.wait(START_SECONDS)

    async def _live(self) -> None:
        async with self._engine.running():
            self._ready.set()
            await self._stopping.wait()

    def finalize(self, upload_id: str, sent_at: float | None) -> None:
        """Make one attempt; what may pass stands in the row, with the time of the next one."""
        if sent_at is not None:
            self._engine.watch.waited("finalization", max(0.0, time.time() - sent_at))
        attempt = asyncio.run_coroutine_threadsafe(self._engine.finalizer.finalize(upload_id), self._loop)
        try:
            attempt.result()
        except TusfmError as error:
            log.info("upload %s is finished later: %s", upload_id, error)

    def stop(self) -> None:
        """Let the loop end."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)  # what does not end by then, the row gives to the next one


def build(settings: Settings, figures: Path | None = None) -> Celery:
    """Make the application of a worker, whose children keep figures in this directory, if there is one. Unusable."""
    app = wiring.celery(settings)
    app.conf.worker_consumer = f"{__name__}:{WorkConsumer.__name__}"
    child: list[Child] = []

    @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
    def finalize(task: Any, upload_id: str) -> None:  # noqa: ANN401  Celery's own
        child[0].finalize(upload_id, (task.request.headers or {}).get(SENT_AT))

    def begin(**_: Any) -> None:  # noqa: ANN401  Celery's own
        child.append(Child(settings, None if figures is None else Worker(current_process().index, figures)))

    def end(**_: Any) -> None:  # noqa: ANN401  Celery's own
        child.pop().stop()

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)

    def leveled(loglevel: int, **_: Any) -> None:  # noqa: ANN401  Celery's own
        logging.getLogger().setLevel(loglevel)  # the rest is set up already

    signals.setup_logging.connect(leveled, weak=False)
    return app


@contextlib.contextmanager
def _figures(settings: Settings) -> Iterator[Path | None]:
    """Serve the figures of a worker's children, and yield the directory where they keep them; None: nobody asks. Unusable."""
    if settings.worker_metrics is None:
        yield None
        return
    from tusfm.adapters.metrics import serve  # noqa: PLC0415  slow to load, and often not needed

    host, port = settings.worker_metrics
    with tempfile.TemporaryDirectory(prefix="tusfm-") as directory:
        try:
            serve(host, port, Path(directory))
        except OSError as error:
            msg = f"The figures cannot be served at TUSFM_WORKER_METRICS {host}:{port}: {error.strerror}."
            raise Unusable(msg) from error
        yield Path(directory)


def run(settings: Settings, options: Sequence[str]) -> None:
    """Work until SIGTERM; the options are Celery's (`--concurrency`, `--queues`, `--loglevel`, …). Unusable."""
    require_tracing(settings)
    with _figures(settings) as figures:
        _work(settings, build(settings, figures), options)


def _work(settings: Settings, app: Celery, options: Sequence[str]) -> None:
    for handler in logging.getLogger().handlers:
        handler.addFilter(_in_a_line)
    name = f"tusfm-{secrets.token_hex(4)}@%h"  # several may run on one machine
    ours = ["--without-gossip", "--without-mingle", f"--hostname={name}", f"--loglevel={settings.log_level}"]
    app.worker_main(["worker", *ours, *options])


def _in_a_line(record: logging.LogRecord) -> bool:
    """Leave out the tracebacks with which Celery tells of a broker that is away."""
    if record.name.startswith(("celery.worker", "kombu", "amqp")):
        record.exc_info = None
    return True
