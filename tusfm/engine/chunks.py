"""Files that arrive in chunks of any order: what a face can ask of the engine.

A chunk's bytes come before it may be known whose they are. They count against the memory budget as they arrive, and go to
storage under a random name that an intent names; `Incoming.place` says whose they are. `tusfm.engine.joining` composes.
"""

import base64
import uuid
from collections.abc import Mapping

from tusfm.domain.errors import AlreadyFinished, Fenced, NotFound, StillFinishing, Unavailable
from tusfm.domain.files import EXTENSION, Completion, File, FileStatus, fixed_key
from tusfm.domain.upload import Role
from tusfm.engine.budget import Budget
from tusfm.engine.events import created, finalize
from tusfm.engine.incoming import Incoming
from tusfm.engine.outbox import Outbox
from tusfm.engine.reading import Reader, StoredObject
from tusfm.engine.rules import Rules
from tusfm.ports.chunking import FileMetadata, NewFile
from tusfm.ports.links import Links
from tusfm.ports.metadata import NewUpload
from tusfm.ports.storage import Storage


class Chunks:
    """Begins, receives, completes and tells of files in chunks. Errors are those of domain.errors."""

    def __init__(  # noqa: PLR0913, PLR0917  the ports, and what settings say
        self,
        metadata: FileMetadata,
        storage: Storage,
        budget: Budget,
        outbox: Outbox,
        rules: Rules,
        links: Links,
        reader: Reader,
    ) -> None:
        """Take the ports and the parts of the engine that work beside requests."""
        self.rules = rules
        self._metadata = metadata
        self._storage = storage
        self._budget = budget
        self._outbox = outbox
        self._links = links
        self._reader = reader

    async def begin(self, owner: str | None = None) -> str:
        """Make an upload that takes chunks, and return its id: a UUID4 as text, 36 characters in lower case. OverQuota."""
        upload_id = str(uuid.uuid4())
        new = NewUpload(
            id=upload_id,
            length=None,
            metadata="",
            role=Role.CHUNKED,
            owner=owner,
            expires_in=self.rules.expire_after,
            messages=(created(upload_id, owner=owner, header="", length=None),),
        )
        await self._metadata.create(new)
        self._outbox.kick()
        return upload_id

    async def require_owner(self, upload_id: str, owner: str) -> None:
        """See that an upload is this owner's. NotFound."""
        upload = await self._metadata.find(upload_id)
        if upload is None or upload.owner != owner:
            raise NotFound

    def receive(self) -> Incoming:
        """Return one chunk on its way, to be used with `async with`; of two with one index the one entered last wins."""
        return Incoming(self._metadata, self._storage, self._budget, self.rules)

    async def complete(self, completion: Completion) -> File:
        """Say that all chunks were sent, and return the file, which is composed behind this.

        The same upload again gives the same file; a FAILURE takes the new values and is tried again. NotFound when the
        upload was never begun, or has ended. ValueError: the extension is none.
        """
        if not EXTENSION.fullmatch(completion.extension):
            msg = f"not an extension: {completion.extension!r}"
            raise ValueError(msg)
        bucket = self.rules.private_bucket if completion.credential else self.rules.public_bucket
        name = f"{completion.upload_id}.{completion.extension}"
        new = NewFile(
            id=str(uuid.uuid4()),
            completion=completion,
            path=f"{bucket}/{name}",
            key=fixed_key(completion),
            metadata=_header(filename=name, filetype=completion.content_type),
            messages=(finalize(completion.upload_id),),
        )
        file = await self._metadata.complete(new)
        self._outbox.kick()
        return file

    async def file(self, file_id: str) -> File:
        """Tell of a file, whatever the letter case of its id. NotFound."""
        file = await self._metadata.file(file_id)
        if file is None:
            raise NotFound
        return await self._adopted(file) if file.chunks is None and file.status is not FileStatus.SUCCESS else file

    async def _adopted(self, file: File) -> File:
        """See whether a file that another service was at has its object: then it is finished, whatever that one wrote."""
        if file.status is FileStatus.FAILURE or file.key is None:
            return file
        try:
            size = await self._storage.size(file.key)
        except Unavailable:
            return file
        if size is not None:
            await self._metadata.adopt(file.upload_id, size)
        return await self._metadata.file(file.id) or file

    async def retry(self, file_id: str) -> File:
        """Compose a FAILURE anew, and return it as PENDING. NotFound; AlreadyFinished; StillFinishing."""
        file = await self.file(file_id)
        try:
            await self._metadata.restart(file.upload_id, (finalize(file.upload_id),))
        except Fenced:
            raise await self._why_not(file_id) from None
        self._outbox.kick()
        return await self.file(file_id)

    async def _why_not(self, file_id: str) -> Exception:
        status = (await self.file(file_id)).status
        if status is FileStatus.SUCCESS:
            return AlreadyFinished()
        return NotFound() if status is FileStatus.FAILURE else StillFinishing()

    async def link(self, file: File, base: str) -> str:
        """Return the URL at which the file's bytes are read, without any other right, for 7 days if it is private.

        *base* is where clients see this server, for a storage that serves nobody itself.
        """
        return await self._links.link(file, base)

    async def open(self, path: str, query: Mapping[str, str]) -> StoredObject:
        """Open a file of this server's own links for reading: by its path, and the query if it is private.

        NotFound, NotFinished; BadLink.
        """
        return await self._reader.open(await self._links.opened(path, query))


def _header(**pairs: str) -> str:
    """Write what is known of a file as a tus client would, so that downloads and events tell of it in one way."""
    return ",".join(f"{key} {base64.b64encode(value.encode('utf-8', 'replace')).decode()}" for key, value in pairs.items())
