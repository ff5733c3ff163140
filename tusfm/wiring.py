"""The one place where an adapter is chosen: by whether its address is set."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from tusfm.adapters.finalization_inline import InlineFinalization, LoggedEvents
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.storage_local import LocalStorage
from tusfm.domain.errors import TusfmError, Unavailable
from tusfm.domain.quotas import Quotas
from tusfm.engine.budget import Budget
from tusfm.engine.chunks import Chunks
from tusfm.engine.expiration import Sweep
from tusfm.engine.finalization import Finalizer
from tusfm.engine.joining import Joiner
from tusfm.engine.links import OwnLinks
from tusfm.engine.outbox import Dispatcher
from tusfm.engine.part_layout import PartLayout
from tusfm.engine.presence import Presence
from tusfm.engine.reading import Reader
from tusfm.engine.rules import Rules
from tusfm.engine.segment_layout import SegmentLayout
from tusfm.engine.uploads import Uploads
from tusfm.engine.writing import Layout
from tusfm.ports.chunking import FileMetadata
from tusfm.ports.finalization import EventLog, Finalization
from tusfm.ports.storage import MultipartStorage, Storage
from tusfm.ports.watching import UNWATCHED, Watch
from tusfm.settings import Settings, Unusable

if TYPE_CHECKING:
    from celery import Celery

    from tusfm.adapters.broker import BrokerAddress

AGAIN_SECONDS = 1.0
Work = Callable[[], Coroutine[None, None, None]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Engine:
    """The engine on its adapters, and the work that it does beside requests."""

    uploads: Uploads
    chunks: Chunks
    metadata: FileMetadata
    storage: Storage
    presence: Presence
    dispatcher: Dispatcher
    finalizer: Finalizer
    sweep: Sweep
    sweep_every: float
    finalization: Finalization
    budget: Budget
    watch: Watch = UNWATCHED
    page: Callable[[], Awaitable[bytes]] | None = None
    """What Prometheus reads, if it may."""
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
            self.finalizer.run,
            lambda: self.sweep.run(self.sweep_every),
        ]
        self._tasks = [asyncio.create_task(_lasting(one)) for one in work]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.uploads.close()
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
    metadata = SqlMetadata(database_url(settings), process, settings.mysql_pool, quotas(settings))
    return assemble(settings, process, metadata, storage(settings))


def quotas(settings: Settings) -> Quotas:
    """Say what owners, and the deployment, may hold."""
    return Quotas(
        owner_bytes=settings.quota_bytes,
        owner_unfinished=settings.quota_unfinished,
        owner_per_minute=settings.quota_per_minute,
        total_bytes=settings.quota_total,
    )


def storage(settings: Settings, *, hasty: bool = False, watch: Watch = UNWATCHED) -> LocalStorage | MultipartStorage:
    """Choose; *hasty*: somebody looks on, and would rather hear of a failure than have it hidden. Unusable."""
    if settings.minio_endpoint is None:
        return LocalStorage(data_dir(settings))
    from tusfm.adapters.s3_requests import Patience, S3Address  # noqa: PLC0415  slow to load, and often not needed
    from tusfm.adapters.storage_s3 import S3Place, S3Storage  # noqa: PLC0415  slow to load, and often not needed

    key, secret = settings.minio_access_key, settings.minio_secret_key
    if not (key and secret):
        key, secret = settings.minio_root_user, settings.minio_root_password
    address = S3Address(
        endpoint=settings.minio_endpoint,
        region=settings.s3_region,
        access_key=key,
        secret_key=secret,
        session_token=settings.s3_session_token,
        virtual_host=settings.s3_addressing == "virtual",
        connections=settings.s3_connections,
        ca_file=settings.s3_ca_file,
        patience=Patience(silence=3, deadline=5, long=20) if hasty else Patience(),
    )
    place = S3Place(
        bucket=settings.s3_bucket or settings.minio_private_bucket,
        prefix=settings.s3_prefix,
        public=settings.minio_public_bucket,
        private=settings.minio_private_bucket,
        url=settings.minio_url,
        encryption=settings.s3_encryption,
        kms_key=settings.s3_kms_key,
        storage_class=settings.s3_storage_class,
    )
    try:
        return S3Storage(address, place, watch)
    except Unavailable as error:
        raise Unusable(_sentence(error)) from error


def assemble(
    settings: Settings,
    process: str,
    metadata: FileMetadata,
    storage: LocalStorage | MultipartStorage,
    watch: Watch = UNWATCHED,
) -> Engine:
    """Put the engine together on these adapters; the storage's shape decides on the layout."""
    budget = Budget(settings.memory_budget * 15 // 16)  # the rest is for what connections hold on its way
    layout: Layout
    if isinstance(storage, LocalStorage):
        layout, path, multipart = SegmentLayout(storage, metadata, budget), storage.path, None
    else:
        layout, path, multipart = PartLayout(storage, metadata, budget, settings.s3_multipart_age), None, storage
    rules = Rules(
        max_size=settings.max_size,
        expire_after=settings.expire_after or None,
        read_timeout=settings.read_timeout,
        chunk_size=settings.max_chunk_size,
        strict_size=settings.strict_size,
        public_bucket=settings.minio_public_bucket,
        private_bucket=settings.minio_private_bucket,
        types=settings.allowed_types,
        names=settings.allowed_names,
    )
    finalization, events = _finalization(settings, watch)
    dispatcher = Dispatcher(metadata, process, finalization, events)
    joiner = Joiner(metadata, layout, storage, rules)
    finalizer = Finalizer(metadata, layout, dispatcher, joiner, rules, watch)
    if isinstance(finalization, InlineFinalization):
        finalization.finalize = finalizer.finalize
    presence = Presence(metadata, process, rules.expire_after)
    reader = Reader(metadata, storage, path)
    sweep = Sweep(metadata, layout, storage, dispatcher, process, multipart)
    sweep.watch = watch
    return Engine(
        uploads=Uploads(metadata, layout, presence, dispatcher, rules, reader),
        chunks=Chunks(metadata, storage, budget, dispatcher, rules, storage.links or OwnLinks(metadata), reader),
        metadata=metadata,
        storage=storage,
        presence=presence,
        dispatcher=dispatcher,
        finalizer=finalizer,
        sweep=sweep,
        sweep_every=settings.sweep_every,
        finalization=finalization,
        budget=budget,
        watch=watch,
    )


def _finalization(settings: Settings, watch: Watch = UNWATCHED) -> tuple[Finalization, EventLog]:
    if settings.rabbitmq_host is None:
        return InlineFinalization(watch), LoggedEvents(metadata=settings.log_metadata)
    from tusfm.adapters.broker import Broker  # noqa: PLC0415  slow to load, and often not needed
    from tusfm.adapters.finalization_celery import BrokerEvents, CeleryFinalization, celery_app  # noqa: PLC0415  the same

    broker = Broker(_broker_address(settings))
    return CeleryFinalization(broker, celery_app(_broker_address(settings))), BrokerEvents(broker)


def _broker_address(settings: Settings) -> "BrokerAddress":
    from tusfm.adapters.broker import BrokerAddress  # noqa: PLC0415  slow to load, and often not needed

    if settings.rabbitmq_host is None:
        msg = "Without RABBITMQ_HOST the server finalizes uploads itself, and no worker is needed."
        raise Unusable(msg)
    return BrokerAddress(
        host=settings.rabbitmq_host,
        port=settings.rabbitmq_port,
        user=settings.rabbitmq_user,
        password=settings.rabbitmq_password,
        prefix=settings.broker_prefix,
    )


def celery(settings: Settings) -> "Celery":
    """Make the Celery application of a worker. Unusable."""
    from tusfm.adapters.finalization_celery import celery_app  # noqa: PLC0415  slow to load, and often not needed

    return celery_app(_broker_address(settings))


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
    return f"sqlite:///{data_dir(settings) / 'tusfm.sqlite3'}"


def needs_migration(settings: Settings) -> bool:
    """Tell whether SQLite's file is missing, or of another version; MySQL is migrated by its operator. Unusable."""
    if settings.mysql_host is None or settings.minio_endpoint is None:
        _make_data_dir(settings)
    if (settings.mysql_host is None) != (settings.minio_endpoint is None):
        what = "the files lie" if settings.minio_endpoint is None else "the database lies"
        log.info("%s in %s: all processes must run on this machine", what, settings.data_dir)
    if settings.mysql_host is not None:
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


def migrate(settings: Settings, told: Callable[[int], None] = lambda _: None) -> str:
    """Bring the schema to the version that this code needs; returns a sentence about what was done. Unusable.

    *told* hears how many files of the old service's database were taken over so far.
    """
    from tusfm.adapters.migration import migrate as run  # noqa: PLC0415  Alembic is needed here only, and is slow to load

    if settings.mysql_host is None:
        _make_data_dir(settings)
    try:
        return run(database_url(settings), told)
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


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Engine]:
    """Open the engine for a command, without the work that a server does beside requests. Unusable."""
    engine = build(settings)
    await engine.metadata.start()
    await engine.storage.start()
    try:
        yield engine
    except TusfmError as error:
        raise Unusable(_sentence(error)) from error
    finally:
        await engine.storage.close()
        await engine.metadata.close()


async def check(settings: Settings) -> AsyncIterator[tuple[str, str | None]]:
    """Try each backend, step by step: what was tried, and what is wrong, None when nothing is.

    A step that fails ends the trial of its backend, for those behind it rest on it. Unusable.
    """
    metadata, files = SqlMetadata(database_url(settings), "check"), storage(settings, hasty=True)
    finalization, _ = _finalization(settings)
    await metadata.start()
    await files.start()
    try:
        for checks in (metadata.checks(), files.checks(), finalization.checks()):
            for label, trial in checks:
                trouble = await _trouble(trial())
                yield label, trouble
                if trouble is not None:
                    break
    finally:
        await finalization.close()
        await files.close()
        await metadata.close()


async def _trouble(trial: Awaitable[None]) -> str | None:
    try:
        await trial
    except TusfmError as error:
        return str(error)
    return None
