"""Metadata that tells of its work."""

import time
from collections.abc import Sequence
from typing import TypeVar

from tusfm.adapters.databases import Database, Seen, Work
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.files import Chunk
from tusfm.domain.quotas import Quotas
from tusfm.domain.upload import State, Upload
from tusfm.engine.events import Event
from tusfm.ports.metadata import Commit, Message, NewUpload, Pending
from tusfm.ports.watching import Kind, Step, Watch

T = TypeVar("T")


class WatchedDatabase:
    """A database whose transactions are told of, each with its repetitions and its wait for a connection."""

    def __init__(self, database: Database, watch: Watch) -> None:
        """Take the database, and who is told."""
        self.dialect = database.dialect
        self._database = database
        self._watch = watch

    async def start(self) -> None:
        """Open it."""
        await self._database.start()

    async def close(self) -> None:
        """Close it."""
        await self._database.close()

    async def read(self, work: Work[T]) -> T:
        """Run a reading function."""
        with self._watch.step(Step(Kind.DATABASE, "read")):
            return await self._database.read(work)

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction."""
        with self._watch.step(Step(Kind.DATABASE, "write")):
            return await self._database.write(work, seen)


class WatchedMetadata(SqlMetadata):
    """The same metadata; what it has done to uploads and messages is told when it is sure."""

    def __init__(self, url: str, process: str, pool_size: int, watch: Watch, quotas: Quotas) -> None:
        """Take what SqlMetadata takes, and who is told."""
        super().__init__(url, process, pool_size, quotas)
        self.db = WatchedDatabase(self.db, watch)
        self._watch = watch
        self._written_at: dict[int, int] = {}  # when each pending message was, in ms since 1970

    async def create(self, new: NewUpload) -> Upload:
        """Insert the row."""
        upload = await super().create(new)
        self._watch.happened(Event.CREATED)
        return upload

    async def commit(self, commit: Commit) -> None:
        """Move the offset."""
        await super().commit(commit)
        self._watch.stored(commit.reached - commit.offset)
        if commit.state is State.AVAILABLE:
            self._watch.happened(Event.FINALIZED)

    async def publish(self, upload_id: str, lease: int, object_key: str, messages: Sequence[Message]) -> None:
        """Finish."""
        await super().publish(upload_id, lease, object_key, messages)
        self._watch.happened(Event.FINALIZED)

    async def lose(self, upload_id: str, epoch: int, error: str, messages: Sequence[Message]) -> None:
        """Give up while receiving."""
        await super().lose(upload_id, epoch, error, messages)
        self._watch.happened(Event.FAILED)

    async def fail(
        self, upload_id: str, lease: int, error: str, expires_in: float | None, messages: Sequence[Message]
    ) -> None:
        """Give up while finishing."""
        await super().fail(upload_id, lease, error, expires_in, messages)
        self._watch.happened(Event.FAILED)

    async def terminate(self, upload_id: str, message: Message | None, *, finished: bool = True) -> Upload | None:
        """End an upload."""
        return self._told(await super().terminate(upload_id, message, finished=finished), Event.TERMINATED)

    async def expire(self, upload_id: str, message: Message | None) -> Upload | None:
        """End one whose time has passed."""
        return self._told(await super().expire(upload_id, message), Event.EXPIRED)

    def _told(self, upload: Upload | None, event: Event) -> Upload | None:
        if upload is not None:
            self._watch.happened(event)
        return upload

    async def concatenate(self, new: NewUpload, partials: Sequence[str], limit: int | None) -> Upload:
        """Create a final."""
        upload = await super().concatenate(new, partials, limit)
        if upload.id == new.id:  # not one that the same list made before
            self._watch.happened(Event.CREATED)
        return upload

    async def place(self, upload_id: str, chunk: Chunk, expires_in: float | None) -> Chunk | None:
        """Count a chunk."""
        needless = await super().place(upload_id, chunk, expires_in)
        if needless is not chunk:
            self._watch.stored(chunk.size)
        return needless

    async def publish_file(self, upload: Upload, size: int, messages: Sequence[Message]) -> None:
        """Finish."""
        await super().publish_file(upload, size, messages)
        self._watch.happened(Event.FINALIZED)

    async def fail_file(self, upload: Upload, error: str, expires_in: float | None, messages: Sequence[Message]) -> None:
        """Give up, until the client sends more."""
        await super().fail_file(upload, error, expires_in, messages)
        self._watch.happened(Event.FAILED)

    async def pending(self, process: str, limit: int) -> list[Pending]:
        """Read the outbox."""
        pending = await super().pending(process, limit)
        self._written_at = {one.number: one.at for one in pending}
        return pending

    async def confirm(self, numbers: Sequence[int]) -> None:
        """Take delivered messages out; how long they stood is by this machine's clock and the database's."""
        await super().confirm(numbers)
        now = time.time()
        for number in numbers:
            at = self._written_at.pop(number, None)
            if at is not None:
                self._watch.waited("outbox", max(0.0, now - at / 1000))
