"""From `finalizing` to `available`: one attempt at a time, by whoever holds the lease (promise 4)."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from tusfm.domain.errors import BytesLost, Fenced, SegmentBusy, TusfmError, Unavailable
from tusfm.domain.upload import Role, State, Upload
from tusfm.engine.events import Event, completion, event, finalize
from tusfm.engine.joining import Joiner
from tusfm.engine.outbox import Outbox
from tusfm.engine.rules import Rules
from tusfm.engine.writing import Assembled, Layout
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import Source
from tusfm.ports.watching import UNWATCHED, Kind, Step, Watch

RENEW_SECONDS = 10.0  # a lease lasts 30
MOST_PAUSE_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
RESUME_SECONDS = 5.0
BATCH = 100
RESUMED_AT_ONCE = 4  # one that a storage takes long over must not hold the others up
LOST = "The bytes are gone from storage."
"""The error that a row keeps from the first look to the second, 30 seconds later: a storage may take long over a Complete."""
AGAIN = "again"
"""What becomes of an attempt that has to begin anew at once."""

log = logging.getLogger(__name__)


class Finalizer:
    """Finishes uploads; its attempts are idempotent, and harmless when two make them at once."""

    def __init__(
        self,
        metadata: Metadata,
        layout: Layout,
        outbox: Outbox,
        joiner: Joiner,
        rules: Rules,
        watch: Watch = UNWATCHED,
    ) -> None:
        """Take the ports, and who composes chunks; *watch* is told of every attempt."""
        self._watch = watch
        self._metadata = metadata
        self._joiner = joiner
        self._layout = layout
        self._outbox = outbox
        self._rules = rules

    async def finalize(self, upload_id: str) -> None:
        """Make one attempt, unless somebody else holds the lease or the upload's pause is not over.

        What may pass is not raised: the row keeps the error and the time of the next attempt. A partial that is
        available already is asked after for its finals.
        """
        outcome = AGAIN
        while outcome == AGAIN:
            upload = await self._taken(upload_id)
            if upload is None:
                await self._ripen_finals(upload_id)
                return
            outcome, step = "", Step(Kind.FINALIZATION, upload.role.value)
            with contextlib.suppress(Fenced):
                async with self._renewed(upload):
                    with self._watch.step(step):
                        outcome = step.outcome = await self._attempt(upload)

    async def _taken(self, upload_id: str) -> Upload | None:
        """Take the lease. A process that is stopped meanwhile may have it already, and lets it go again."""
        taking = asyncio.ensure_future(self._metadata.take(upload_id))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with contextlib.suppress(Unavailable):
                upload = await taking
                if upload is not None:
                    await self._let_go(upload)
            raise

    async def _attempt(self, upload: Upload) -> str:
        """Make it, and say in a word what became of it."""
        try:
            if upload.role is Role.CHUNKED:
                return await self._join(upload)
            made = await self._assemble(upload)
            await self._metadata.publish(upload.id, upload.lease, made.key, completion(upload, upload.offset))
            self._outbox.kick()
            await self._discard(upload, made.needless)
        except BytesLost as error:
            return await self._lost(upload, error)
        except (Unavailable, SegmentBusy) as error:
            await self._postpone(upload, str(error))
            return "postponed"
        return "available"

    async def _join(self, upload: Upload) -> str:
        again = await self._joiner.join(upload)
        self._outbox.kick()
        return AGAIN if again else "done"

    async def _discard(self, upload: Upload, keys: Sequence[str]) -> None:
        if keys:
            try:
                await self._layout.discard(keys)
            except Unavailable as error:
                log.info("upload %s: what it was made of is left to the sweep: %s", upload.id, error)

    async def _assemble(self, upload: Upload) -> Assembled:
        if upload.role is not Role.FINAL:
            return await self._layout.assemble(upload)
        partials = await self._metadata.partials(upload.id)
        sources = [Source(one.object_key, 0, one.offset) for one in partials if one.object_key]
        if len(sources) != len(partials) or any(one.state is not State.AVAILABLE for one in partials):
            msg = "A partial upload is gone."
            raise BytesLost(msg)
        return Assembled(await self._layout.compose(upload, sources))

    async def _lost(self, upload: Upload, error: BytesLost) -> str:
        log.warning("upload %s: %s (%s)", upload.id, LOST, error)
        if upload.error != LOST:
            await self._metadata.postpone(upload.id, upload.lease, LOST, MOST_PAUSE_SECONDS)
            return "postponed"
        messages = [event(Event.FAILED, upload)]
        await self._metadata.fail(upload.id, upload.lease, f"{LOST} {error}", self._rules.expire_after, messages)
        self._outbox.kick()
        return "failed"

    async def _postpone(self, upload: Upload, error: str) -> None:
        pause = min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(upload.attempts, 10))
        log.info("upload %s is tried again in %g s: %s", upload.id, pause, error)
        await self._metadata.postpone(upload.id, upload.lease, error, pause)

    @contextlib.asynccontextmanager
    async def _renewed(self, upload: Upload) -> AsyncIterator[None]:
        """Renew the lease meanwhile; losing it ends the attempt, and an attempt that is ended lets the lease go."""
        attempt = asyncio.current_task()

        async def renew() -> None:
            while not renewing.cancelling():  # a driver may have taken the cancellation for a lost connection
                await asyncio.sleep(RENEW_SECONDS)
                try:
                    await self._metadata.renew(upload.id, upload.lease)
                except Fenced:
                    assert attempt is not None
                    attempt.cancel()
                    return
                except Unavailable:
                    continue

        renewing = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if not renewing.done():
                await self._let_go(upload)
                raise
            assert attempt is not None
            attempt.uncancel()
            log.info("upload %s: somebody else finishes it", upload.id)
        finally:
            renewing.cancel()

    async def _let_go(self, upload: Upload) -> None:
        """The process stops: the next one need not wait until the lease runs out."""
        with contextlib.suppress(Fenced, Unavailable):
            await self._metadata.postpone(upload.id, upload.lease, "The process that finished it was stopped.", 0)

    async def _ripen_finals(self, partial_id: str) -> None:
        """A partial is complete: finals whose last one it was can be finished (rule U1)."""
        for final_id in await self._metadata.finals(partial_id):
            await self._ripen(final_id)

    async def _ripen(self, final_id: str) -> None:
        """Let a final be finished if all its partials are available."""
        if await self._metadata.ripen(final_id, self._rules.max_size, [finalize(final_id)]):
            self._outbox.kick()

    async def run(self) -> None:
        """Finish what nobody holds a lease on, broker or no broker, for as long as the process lives."""
        while True:
            try:
                await self._resume()
            except TusfmError as error:
                log.info("finalizing goes on later: %s", error)
            await asyncio.sleep(RESUME_SECONDS)

    async def _resume(self) -> None:
        for final_id in await self._metadata.ripe(BATCH):
            await self._ripen(final_id)
        at_once = asyncio.Semaphore(RESUMED_AT_ONCE)

        async def one(upload_id: str) -> None:
            async with at_once:
                await self.finalize(upload_id)

        unfinished = await self._metadata.unfinished(BATCH)
        for outcome in await asyncio.gather(*map(one, unfinished), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
