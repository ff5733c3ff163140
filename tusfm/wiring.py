"""The one place where an adapter is chosen: by whether its address is set."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from tusfm.adapters.finalization_inline import InlineFinalization, LoggedEvents
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.storage_local import LocalStorage
from tusfm.domain.errors import TusfmError, Unavailable
from tusfm.engine.budget import Budget
from tusfm.engine.expiration import Sweep, resume
from tusfm.engine.finalization import Finalizer
from tusfm.engine.outbox import Dispatcher
from tusfm.engine.part_layout import PartLayout
from tusfm.engine.presence import Presence
from tusfm.engine.reading import Reader
from tusfm.engine.rules import Rules
from tusfm.engine.segment_layout import SegmentLayout
from tusfm.engine.uploads import Uploads
from tusfm.engine.writing import Layout
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import MultipartStorage, Storage
from tusfm.settings import Settings

AGAIN_SECONDS = 1.0
Work = Callable[[], Coroutine[None, None, None]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Engine:
    """The engine on its adapters, and the work that it does beside requests."""

    uploads: Uploads
    metadata: Metadata
    storage: Storage
    presence: Presence
    dispatcher: Dispatcher
    finalizer: Finalizer
    sweep: Sweep
    sweep_every: float
    finalization: InlineFinalization
    _draining: bool = False
    _migrated: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the adapters, work beside requests until the end, and close them."""
        await self.metadata.start()
        await self.storage.start()
        work: list[Work] = [
            self.presence.run,
            self.dispatcher.run,
            lambda: resume(self.finalizer),
            lambda: self.sweep.run(self.sweep_every),
        ]
        self._tasks = [asyncio.create_task(_lasting(one)) for one in work]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.finalization.close()
            await self.storage.close()
            await self.metadata.close()

    def drain(self) -> None:
        """Stop: every writer checkpoints and ends."""
        self._draining = True
        self.presence.drain()

    async def why_not_ready(self) -> str | None:
        """Return one sentence while the process is not fit to serve; a database that is away does not count."""
        if self._draining:
            return "The server is stopping."
        if not self._migrated:
            with contextlib.suppress(Unavailable):
                self._migrated = await self.metadata.migrated()
                return None if self._migrated else "The database is not migrated; run 'tusfm migrate'."
        return None


async def _lasting(work: Work) -> None:
    """Go on after a failure that nobody foresaw: uploads must not stand still because one row could not be handled."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("work in the background failed; it begins again")
            await asyncio.sleep(AGAIN_SECONDS)


def build(settings: Settings) -> Engine:
    """Put the engine together; nothing is opened yet."""
    process = secrets.token_hex(8)
    _refuse_what_is_not_built(settings)
    return assemble(settings, process, SqlMetadata(database_url(settings), process), LocalStorage(data_dir(settings)))


def assemble(settings: Settings, process: str, metadata: Metadata, storage: LocalStorage | MultipartStorage) -> Engine:
    """Put the engine together on these adapters; the storage's shape decides on the layout."""
    budget = Budget(settings.memory_budget)
    layout: Layout
    if isinstance(storage, LocalStorage):
        layout, path, multipart = SegmentLayout(storage, metadata, budget), storage.path, None
    else:
        layout, path, multipart = PartLayout(storage, metadata, budget), None, storage
    rules = Rules(
        max_size=settings.max_size,
        expire_after=settings.expire_after or None,
        read_timeout=settings.read_timeout,
    )
    finalization = InlineFinalization()
    dispatcher = Dispatcher(metadata, process, finalization, LoggedEvents())
    finalizer = Finalizer(metadata, layout, dispatcher, rules.max_size)
    finalization.finalize = finalizer.finalize
    presence = Presence(metadata, process, rules.expire_after)
    reader = Reader(metadata, storage, path)
    return Engine(
        uploads=Uploads(metadata, layout, presence, dispatcher, rules, reader),
        metadata=metadata,
        storage=storage,
        presence=presence,
        dispatcher=dispatcher,
        finalizer=finalizer,
        sweep=Sweep(metadata, layout, storage, dispatcher, process, multipart),
        sweep_every=settings.sweep_every,
        finalization=finalization,
    )


def data_dir(settings: Settings) -> Path:
    """Return where the embedded stack keeps everything."""
    return Path(settings.data_dir)


def database_url(settings: Settings) -> str:
    """Return SQLAlchemy's address of the database."""
    if settings.mysql_host is not None:
        root = settings.mysql_user == "root" or not settings.mysql_password
        return URL.create(
            "mysql+asyncmy",
            settings.mysql_user,
            settings.mysql_root_password if root else settings.mysql_password,
            settings.mysql_host,
            settings.mysql_port,
            settings.mysql_database,
            {"charset": "utf8mb4"},
        ).render_as_string(hide_password=False)
    return f"sqlite+aiosqlite:///{data_dir(settings) / 'tusfm.sqlite3'}"


class Unusable(Exception):
    """A backend cannot be used at all; the text is one sentence."""


def _refuse_what_is_not_built(settings: Settings) -> None:
    for name, value in (("MINIO_ENDPOINT", settings.minio_endpoint), ("RABBITMQ_HOST", settings.rabbitmq_host)):
        if value is not None:
            msg = f"{name} is set, but this version stores in a directory and finalizes in the server; unset it."
            raise Unusable(msg)


def needs_migration(settings: Settings) -> bool:
    """Tell whether SQLite's file is missing, or of another version; MySQL is migrated by its operator. Unusable."""
    _refuse_what_is_not_built(settings)
    _make_data_dir(settings)
    if settings.mysql_host is not None:
        log.info("the files lie in %s: all processes must run on this machine", settings.data_dir)
        return False

    async def ask() -> bool:
        metadata = SqlMetadata(database_url(settings), "")
        try:
            return not await metadata.migrated()
        finally:
            await metadata.close()

    try:
        return asyncio.run(ask())
    except Unavailable as error:
        raise Unusable(_sentence(error)) from error


def migrate(settings: Settings) -> str:
    """Bring the schema to the version that this code needs; returns a sentence about what was done. Unusable."""
    from tusfm.adapters.migration import migrate as run  # noqa: PLC0415  Alembic is needed here only, and is slow to load

    _make_data_dir(settings)
    try:
        return run(database_url(settings))
    except Unavailable as error:
        raise Unusable(_sentence(error)) from error


def _make_data_dir(settings: Settings) -> None:
    try:
        data_dir(settings).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"TUSFM_DATA_DIR {settings.data_dir} cannot be made: {error.strerror}."
        raise Unusable(msg) from error


def _sentence(error: Exception) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


async def sweep(settings: Settings, *, orphans: bool) -> AsyncIterator[str]:
    """Sweep once, and say what was done; or name the files that no row knows. Unusable."""
    engine = build(settings)
    await engine.metadata.start()
    await engine.storage.start()
    try:
        if orphans:
            async for key in engine.sweep.orphans():
                yield key
        else:
            for what, count in (await engine.sweep.sweep()).items():
                yield f"{what}: {count}"
    except TusfmError as error:
        raise Unusable(_sentence(error)) from error
    finally:
        await engine.storage.close()
        await engine.metadata.close()


async def check(settings: Settings) -> list[tuple[str, str | None]]:
    """Try each backend; a label and what is wrong, None when nothing is."""
    engine = build(settings)
    await engine.metadata.start()
    await engine.storage.start()
    try:
        return [
            ("database", await _trouble(_migrated(engine.metadata))),
            ("storage", await _trouble(engine.storage.check())),
        ]
    finally:
        await engine.storage.close()
        await engine.metadata.close()


async def _migrated(metadata: Metadata) -> None:
    if not await metadata.migrated():
        msg = "it is not migrated; run 'tusfm migrate'"
        raise Unavailable(msg)


async def _trouble(trial: Coroutine[None, None, None]) -> str | None:
    try:
        await trial
    except TusfmError as error:
        return str(error)
    return None
