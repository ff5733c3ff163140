"""One request's bytes on their way to storage: one reader that never waits for storage, one writer that flushes.

So that bytes already received survive a disconnect, the reader does nothing but take them; the writer decides when they
become durable (promise 2): when a part is full, at the end or the break of the body, when the sender stalls, every
30 seconds of a slow one, and when somebody asks for the status.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from tusfm.domain.errors import BodyBroken, Draining, Fenced, Interrupted, TooLarge
from tusfm.engine.body import Body
from tusfm.engine.budget import add
from tusfm.engine.checksums import Verifier
from tusfm.engine.writing import Writer

STALL_SECONDS = 2.0
SLOW_SECONDS = 30.0
BETWEEN_STALLS_SECONDS = 10.0  # unless ENOUGH_BYTES came: a trickling sender must not cost a tail every two seconds
ENOUGH_BYTES = 256 * 1024
QUIET_SECONDS = 0.1  # a sender so long silent is asked about at once
BETWEEN_ASKED_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds a request: *most*, the offset that its bytes may reach; *silence*, seconds without any."""

    most: int | None
    silence: float
    exact: bool


@dataclass(slots=True)
class Clockwork:
    """When things last happened, by the loop's clock, in seconds."""

    now: float
    read: float = field(init=False)
    checkpoint: float = field(init=False)
    stall: float = field(init=False)

    def __post_init__(self) -> None:
        """Everything happened now."""
        self.read = self.checkpoint = self.now
        self.stall = self.now - BETWEEN_STALLS_SECONDS


class Receiver:
    """A request that writes to an upload under one claim.

    It is what others in this process speak to: they ask it for a checkpoint, tell it that it was fenced, or that the
    process stops. *answers* says whether it can checkpoint when it is asked.
    """

    def __init__(self, upload_id: str, epoch: int, body: Body, limits: Limits, verifier: Verifier | None) -> None:
        """Take a body whose upload was claimed; *verifier* None when no checksum was announced."""
        self.upload_id = upload_id
        self.epoch = epoch
        self.answers = verifier is None
        self._body = body
        self._limits = limits
        self._verifier = verifier
        self._unhashed: list[bytes] = []
        self._last = b""  # the last byte of the upload, held back until the body has ended (rule P6)
        self._lacking = body.size  # bytes that are still to come, None when nobody knows
        self._wake = asyncio.Event()
        self._asked: list[asyncio.Future[None]] = []
        self._clock = Clockwork(asyncio.get_running_loop().time())
        self._paused = False
        self._ended = False
        self._cause: Exception | None = None

    @property
    def running(self) -> bool:
        """Whether the body is still coming in."""
        return not (self._ended or self._cause)

    def wake(self) -> None:
        """Let the writer look at what there is to do."""
        self._wake.set()

    async def run(self, writer: Writer, early: Iterable[bytes], *, length: int | None = None) -> None:
        """Receive the body until its end, and commit it; *early* was read before the claim.

        Fenced, BodyBroken, Draining: what had arrived is committed as far as it may be. TooLarge: what was committed stays.
        ChecksumMismatch: nothing counts.
        """
        reader = asyncio.create_task(self._read(writer, early))
        try:
            await self._write(writer)
            await self._finish(writer, length)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            self.answers = False
            self._answer()

    async def asked(self) -> None:
        """Wait until what has arrived is committed; the caller bounds the wait."""
        if not self.answers:
            return
        future = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self.wake()
        await future

    def request_checkpoint(self) -> None:
        """Checkpoint as for asked, for somebody in another process who watches the row."""
        if self.answers and not self._asked:
            self._asked.append(asyncio.get_running_loop().create_future())
            self.wake()

    def fence(self) -> None:
        """A newer writer or a deletion has the upload: stop, and close the old sender's connection."""
        self._stop(Fenced("Another request has taken over this upload."))
        self._body.cut()

    def drain(self) -> None:
        """The process stops: checkpoint, and tell the client to come again."""
        self._stop(Draining("The server is restarting; please go on in a moment."))

    def _stop(self, cause: Exception) -> None:
        if self._cause is None or isinstance(cause, Fenced):
            self._cause = cause
        self.wake()

    # The reader

    async def _read(self, writer: Writer, early: Iterable[bytes]) -> None:
        try:
            self._take_all(writer, early)
            while await self._take_next(writer):
                if writer.crowded:
                    await self._wait_for_room(writer)
            if self._last:
                self._feed(writer, self._last)
            self._ended = True
        except Exception as error:  # noqa: BLE001  the writer raises it; a reader that died in silence would leave it waiting
            self._stop(error)
        finally:
            self.wake()

    async def _take_next(self, writer: Writer) -> bool:
        """Take the bytes that come next, if any do, and keep no hold of them: they are freed while others are waited for."""
        piece = await self._body.read()
        if piece:
            self._clock.read = asyncio.get_running_loop().time()
            self._take(writer, piece)
        return bool(piece)

    def _take_all(self, writer: Writer, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._take(writer, piece)

    def _take(self, writer: Writer, piece: bytes) -> None:
        if self._lacking is not None:
            self._lacking -= len(piece)
        most = self._limits.most
        reached = writer.fed + len(self._last) + len(piece)
        if most is not None and reached > most:
            self._last = b""
            msg = f"The body goes beyond the {most} bytes that the upload may have."
            raise TooLarge(msg)
        if most is not None and reached == most and not self._limits.exact:
            piece, self._last = piece[:-1], piece[-1:]
        if piece:
            self._feed(writer, piece)

    def _feed(self, writer: Writer, piece: bytes) -> None:
        if self._verifier:
            add(self._unhashed, piece)
        first = writer.fed == writer.offset  # from now on there is something to checkpoint, in its time
        if writer.feed(piece) or first or self._asked:
            self.wake()

    async def _wait_for_room(self, writer: Writer) -> None:
        """Leave the sender unread; what has arrived is taken first, for a disconnect would withhold it.

        Who has sent everything needs no room, and nobody would make any: an upload that is all there waits for its end.
        """
        self._take_all(writer, self._body.arrived())
        if self._lacking == 0:
            return
        self._body.pause()
        self._paused = True
        self.wake()
        try:
            await writer.room()
        finally:
            self._paused = False
            self._clock.read = asyncio.get_running_loop().time()
            self._body.resume()
            self.wake()  # what is due was reckoned for a sender that was paused

    # The writer

    async def _write(self, writer: Writer) -> None:
        while self.running:
            if self._due(writer) <= asyncio.get_running_loop().time():
                await self._on_time(writer)
            else:
                await self._hash()
                await writer.advance()
                await self._pause_until(self._due(writer))

    async def _pause_until(self, due: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        self._wake.clear()

    def _due(self, writer: Writer) -> float:
        """Return when the writer has something to do even if nothing more arrives."""
        clock = self._clock
        due = clock.read + self._limits.silence if not self._paused else clock.now + 1e9
        if self.answers and writer.fed > writer.offset:
            due = min(due, clock.checkpoint + SLOW_SECONDS)
            if not self._paused:
                enough = writer.fed - writer.offset >= ENOUGH_BYTES
                spaced = clock.checkpoint + STALL_SECONDS if enough else clock.stall + BETWEEN_STALLS_SECONDS
                due = min(due, max(clock.read + STALL_SECONDS, spaced))
        due = min(due, writer.due)
        if self._asked:
            due = min(due, clock.read + QUIET_SECONDS, clock.checkpoint + BETWEEN_ASKED_SECONDS)
        return due

    async def _on_time(self, writer: Writer) -> None:
        now = asyncio.get_running_loop().time()
        if not self._paused and now - self._clock.read >= self._limits.silence:
            self._stop(BodyBroken(f"The body brought nothing for {self._limits.silence:g} seconds."))
            return
        if writer.due <= now:
            await writer.refresh()
            return
        stalled = now - self._clock.read >= STALL_SECONDS
        await self._checkpoint(writer)
        if stalled:
            self._clock.stall = now

    async def _checkpoint(self, writer: Writer) -> None:
        asked, self._asked = self._asked, []
        try:
            if self.answers:
                await writer.checkpoint()
        finally:
            self._clock.checkpoint = asyncio.get_running_loop().time()
            _answer(asked)

    async def _hash(self) -> None:
        if not self._verifier or not self._unhashed:
            return
        pieces, self._unhashed = self._unhashed, []
        await self._verifier.take(pieces)

    async def _finish(self, writer: Writer, length: int | None) -> None:
        if self._cause is not None and not self._ended:
            await self._break_off(writer, self._cause)
            raise self._cause
        if self._verifier:
            await self._hash()
            self._verifier.check()
        await writer.finish(length)

    async def _break_off(self, writer: Writer, cause: Exception) -> None:
        """Keep all that arrived (rule G11), unless it is no longer ours or must not count."""
        if isinstance(cause, Interrupted) and not isinstance(cause, Fenced) and self.answers:
            for piece in self._body.arrived():
                with contextlib.suppress(TooLarge):
                    self._take(writer, piece)
            await writer.checkpoint()

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        _answer(asked)


def _answer(asked: list[asyncio.Future[None]]) -> None:
    for future in asked:
        if not future.done():
            future.set_result(None)
