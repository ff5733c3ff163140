"""Making uploads: empty, with their first bytes, or out of others."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from tusfm.domain import metadata as grammar
from tusfm.domain.access import Grant, file_type_fits
from tusfm.domain.errors import ChecksumMismatch, Draining, OverQuota, TooLarge, TypeNotAllowed
from tusfm.domain.upload import Role, Upload, new_id
from tusfm.engine.appending import Append, Appender, Progress, live, prompt, verify
from tusfm.engine.body import Body
from tusfm.engine.budget import Loan
from tusfm.engine.checksums import Checksum
from tusfm.engine.events import created, finalize
from tusfm.engine.outbox import Outbox
from tusfm.engine.presence import Presence
from tusfm.engine.rules import Rules
from tusfm.engine.writing import Layout
from tusfm.ports.metadata import Metadata, NewUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A creation as the client wants it; *body* None: without one. *metadata* and *concat* are the headers as given.

    *grant* says for whom it is, and within which limits; None where nobody is asked.
    """

    length: int | None
    metadata: str = ""
    role: Role = Role.WHOLE
    concat: str | None = None
    checksum: Checksum | None = None
    body: Body | None = None
    grant: Grant | None = None

    @property
    def size_limit(self) -> int | None:
        """The owner's own limit, in bytes."""
        return None if self.grant is None else self.grant.max_size


class Creator:
    """Makes rows, and lets the appender fill them."""

    def __init__(
        self,
        metadata: Metadata,
        layout: Layout,
        presence: Presence,
        outbox: Outbox,
        rules: Rules,
        appender: Appender,
    ) -> None:
        """Take the ports and the parts of the engine that work beside requests."""
        self._metadata = metadata
        self._layout = layout
        self._presence = presence
        self._outbox = outbox
        self._rules = rules
        self._appender = appender

    async def create(self, creation: Creation) -> Progress:
        """Make an upload, with the bytes that came along.

        Denied, OverQuota, TooLarge and ChecksumMismatch: nothing was created (W4, K7).
        BodyBroken: it exists, with what arrived (W6).
        """
        self._judge_grant(creation)
        if creation.body is None:
            upload = await self._insert(creation)
            self._appender.remember(upload)
            return await self._complete(upload, [])
        with contextlib.closing(Loan(self._layout.budget)) as loan:
            if await prompt(creation.body, self._layout.small, loan):
                self._judge_size(creation, loan)
                await verify(creation.checksum, loan.pieces)
                return await self._complete(await self._insert(creation), loan.pieces)
            return await self._create_streaming(creation, creation.body, loan)

    async def _complete(self, upload: Upload, pieces: list[bytes]) -> Progress:
        """Take bytes that are in memory; a length of 0 is complete without any (rule CR5)."""
        if pieces or upload.length == 0:
            try:
                progress = await self._appender.place(upload, pieces)
            except OverQuota:
                await self._take_back(upload)
                raise
            if progress:
                return progress
        return self._appender.progress(upload)

    def _judge_grant(self, creation: Creation) -> None:
        """Hold the creation against what its owner may do; a partial is no file, so it has no type."""
        grant = creation.grant
        if grant is None:
            return
        announced = max(creation.length or 0, (creation.body.size or 0) if creation.body else 0)
        if grant.max_size is not None and announced > grant.max_size:
            msg = f"An upload may have {grant.max_size} bytes at most."
            raise TooLarge(msg)
        kind = grammar.text(grammar.parse(creation.metadata), "filetype", "type")
        if creation.role is not Role.PARTIAL and not file_type_fits(grant.types, kind):
            raise TypeNotAllowed

    def _judge_size(self, creation: Creation, early: Loan) -> None:
        most = self._rules.most(creation.size_limit) if creation.length is None else creation.length
        if most is not None and early.size > most:
            msg = f"The body goes beyond the {most} bytes that the upload may have."
            raise TooLarge(msg)

    async def _insert(self, creation: Creation, *, writer: str | None = None) -> Upload:
        new = self._new(creation, new_id(), writer)
        upload = await self._metadata.create(new)
        if new.messages:
            self._outbox.kick()
        return upload

    def _new(self, creation: Creation, upload_id: str, writer: str | None = None) -> NewUpload:
        owner = None if creation.grant is None else creation.grant.owner
        own_lifetime = None if creation.grant is None else creation.grant.lifetime
        lifetime = self._rules.lifetime(own_lifetime)
        message = created(upload_id, owner=owner, header=creation.metadata, length=creation.length)
        return NewUpload(
            id=upload_id,
            length=creation.length,
            metadata=creation.metadata,
            role=creation.role,
            concat=creation.concat,
            expires_in=None if creation.role is Role.FINAL else lifetime,  # it ends with its partials
            writer=writer,
            answers=creation.checksum is None,
            owner=owner,
            size_limit=creation.size_limit,
            lifetime=None if own_lifetime is None else lifetime,
            messages=() if creation.role is Role.PARTIAL else (message,),
        )

    async def _create_streaming(self, creation: Creation, body: Body, early: Loan) -> Progress:
        """The row comes first, then bytes as they come; the creation is the claim too."""
        self._judge_size(creation, early)
        upload = await self._insert(creation, writer=self._presence.process)
        append = Append(id=upload.id, offset=0, checksum=creation.checksum, body=body)
        try:
            return await self._appender.receive(upload, [], append, early)
        except (TooLarge, OverQuota, ChecksumMismatch):
            await self._take_back(upload)
            raise
        except Draining:  # 201 with what it has: the client does not know the URL yet
            return self._appender.progress(await live(self._metadata, upload.id))

    async def _take_back(self, upload: Upload) -> None:
        row = await self._metadata.terminate(upload.id, None)
        if row is not None:
            await self._layout.remove(row, thorough=True)
            await self._metadata.discard(upload.id)

    async def concatenate(self, creation: Creation, partials: Sequence[str]) -> Progress:
        """Make a final of these partial uploads, in this order; finished ones may be missing bytes yet (rules N4, U1).

        Denied, OverQuota, NotFound, BadConcatenation, TooLarge: nothing was created.
        The same list again gives the same final (rule N7).
        """
        self._judge_grant(creation)
        new = self._new(creation, new_id())
        upload = await self._metadata.concatenate(new, partials, self._rules.most(creation.size_limit))
        await self._metadata.ripen(upload.id, self._rules.max_size, [finalize(upload.id)])
        self._outbox.kick()
        return self._appender.progress(upload)
