"""What a face can ask of the engine."""

import logging
from collections.abc import Sequence

from tusfm.domain.errors import NotFound, Unavailable
from tusfm.domain.upload import Role, State, Upload
from tusfm.engine.appending import Append, Appender, Progress, live
from tusfm.engine.creating import Creation, Creator
from tusfm.engine.events import Event, event
from tusfm.engine.outbox import Outbox
from tusfm.engine.presence import Presence
from tusfm.engine.reading import Reader, StoredObject
from tusfm.engine.rules import Rules
from tusfm.engine.writing import Layout
from tusfm.ports.metadata import Metadata

log = logging.getLogger(__name__)


class Uploads:
    """Creates, receives, tells of, reads and deletes uploads. Errors are those of domain.errors."""

    def __init__(
        self,
        metadata: Metadata,
        layout: Layout,
        presence: Presence,
        outbox: Outbox,
        rules: Rules,
        reader: Reader,
    ) -> None:
        """Take the ports and the parts of the engine that work beside requests."""
        self.rules = rules
        self._metadata = metadata
        self._layout = layout
        self._presence = presence
        self._outbox = outbox
        self._appender = Appender(metadata, layout, presence, outbox, rules)
        self._creator = Creator(metadata, layout, presence, outbox, rules, self._appender)
        self._reader = reader

    async def create(self, creation: Creation) -> Progress:
        """Make an upload, with the bytes that came along; see Creator.create."""
        return await self._creator.create(creation)

    async def concatenate(self, creation: Creation, partials: Sequence[str]) -> Progress:
        """Make a final upload; see Creator.concatenate."""
        return await self._creator.concatenate(creation, partials)

    async def append(self, append: Append) -> Progress:
        """Take the bytes of a PATCH; see Appender.append."""
        return await self._appender.append(append)

    async def open(self, upload_id: str) -> StoredObject:
        """Open a finished upload for reading; see Reader.open."""
        return await self._reader.open(upload_id)

    async def find(self, upload_id: str) -> Upload:
        """Read the row as it is, in one query. NotFound."""
        return await live(self._metadata, upload_id)

    async def status(self, upload_id: str) -> Upload:
        """Tell where an upload stands, after its writer has committed what had arrived (rule H6). NotFound.

        One query when nobody writes. A final's length is known as soon as its partials' are (rule N10).
        """
        await self._presence.settled(upload_id)
        upload = await live(self._metadata, upload_id)
        here = upload.writer == self._presence.process
        if upload.state is State.RECEIVING and (here or upload.writer_alive):
            await self._presence.checkpoint(upload_id)
            upload = await live(self._metadata, upload_id)
        return upload

    async def terminate(self, upload_id: str, *, finished: bool = True) -> None:
        """Delete an upload and its bytes, finished or not (*finished* False: only while it receives). NotFound.

        Its writer stops, wherever it runs. Bytes that cannot be deleted just now are deleted by the sweep.
        """
        await self._end(await live(self._metadata, upload_id), finished=finished)

    async def remove(self, upload_id: str) -> None:
        """Delete an upload as its operator: one that failed, or whose time has passed, too. NotFound."""
        upload = await self._metadata.find(upload_id)
        if upload is None:
            raise NotFound
        await self._end(upload)

    async def close(self) -> None:
        """End what goes on beside requests."""
        await self._layout.close()

    async def _end(self, upload: Upload, *, finished: bool = True) -> None:
        message = None if upload.role is Role.PARTIAL else event(Event.TERMINATED, upload)
        row = await self._metadata.terminate(upload.id, message, finished=finished)
        if row is None:
            raise NotFound
        self._appender.forget(upload.id)
        self._presence.fence(upload.id)
        self._outbox.kick()
        try:
            await self._layout.remove(row, thorough=False)
        except Unavailable as error:
            log.warning("upload %s: its bytes are left to the sweep: %s", upload.id, error)
