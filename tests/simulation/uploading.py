"""Clients that upload: by requests of every shape; they break off, come again elsewhere, and race each other."""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence

from tests.simulation.bodies import Stream
from tests.simulation.clients import Client, Gone
from tests.simulation.invariants import Model, Sent
from tests.simulation.world import NoAnswer, Server, World
from tusfm.domain.errors import ChecksumMismatch, Interrupted, NotFound, OffsetConflict, TusfmError, Unavailable
from tusfm.domain.upload import Role, State
from tusfm.engine.appending import Append, Progress
from tusfm.engine.checksums import Checksum
from tusfm.engine.creating import Creation

SIZES = (0, 1, 30, 100, 159, 161, 200, 320, 350, 700, 1500)
LATER = (NoAnswer, Unavailable, Interrupted)
"""What a client answers by looking where it stands, and going on."""
IN_VAIN = 0.15  # of requests that had no good answer: the client comes back to say nothing, and stays away
IMPATIENT_SECONDS = (29.0, 37.0)  # about the time of the second look, after which an upload fails
STRAYS = 0.1  # of requests of one that stays with a process
TIDY = 0.5  # of those that send little at a time
ROBBED = 0.15  # of uploads that are being finished


class Uploader(Client):
    """Brings one file, or one partial upload, to its end."""

    slow: Sequence[float] = (0.0, 0.0, 0.02, 0.5, 3.0)
    """The longest gaps, in seconds, of bodies."""
    tidy = False
    """Whether each body says how long it is, and ends well."""

    def __init__(self, world: World, role: Role = Role.WHOLE) -> None:
        """Draw the file's length."""
        super().__init__(world)
        self.role = role
        self.length = self.random.choice((0, 1, 90, 160, 200, 500, 900, 1500, 2600, 4200))
        self.declared = False
        self.model = world.invariants.model(role=role)
        self._rivals: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Upload until it is there; begin again when it expired meanwhile."""
        while True:
            try:
                await self._create()
                await self._upload()
            except Gone:
                if not self.model.deletable:
                    continue
            return

    # Creation

    async def _create(self) -> None:
        """Create, again under another name when the answer was lost."""
        while True:
            self.declared = self.random.random() < 0.8
            self.model = self.world.invariants.model(role=self.role, length=self.length if self.declared else None)
            model = self.model
            try:
                progress = await self._creation(model)
            except (*LATER, ChecksumMismatch):
                if self.random.random() < 0.5 and model.id is not None:
                    return  # 201's head came through, or it was broken off: the client knows the URL
                await self.pause(2)
                continue
            except NotFound:
                self.gone(model)
                continue
            model.id = progress.id
            self.told(model, progress.offset, 0)
            return

    async def _creation(self, model: Model) -> Progress:
        size = self.random.choice((None, None, *SIZES))
        body = checksum = sent = None
        if size is not None:
            sent, body, checksum = self._body(model, 0, min(size, self.length))
            model.taken_back = not sent.counts
        creation = Creation(
            length=self.length if self.declared else None,
            metadata=model.name,
            role=self.role,
            checksum=checksum,
            body=body,
        )
        try:
            progress = await self.world.ask(lambda engine: engine.uploads.create(creation), self.patience())
        finally:
            if body is not None:
                body.cut()
        if sent is not None and progress.offset > len(sent.data):
            self.world.fail(f"a creation with {len(sent.data)} bytes was answered with {progress.offset}")
        if sent is not None and progress.offset == len(sent.data):  # less: the process was stopping
            sent.reached = progress.offset
        return progress

    def _body(self, model: Model, offset: int, size: int) -> tuple[Sent, Stream, Checksum | None]:
        """Draw a body of so many bytes: how it comes, how it ends, and whether it has a checksum."""
        random, calm = self.random, self.world.calm
        end = "well" if calm or self.tidy else random.choices(("well", "broken", "silent"), (8, 1.5, 0.5))[0]
        data = random.randbytes(size)
        announced = None if not self.tidy and random.random() < 0.2 else size + (end != "well")
        if offset + size >= self.length and end != "well":
            announced = None
        checksum = None
        wrong = False
        if random.random() < 0.3:
            wrong = not calm and random.random() < 0.3
            checksum = Checksum("md5", hashlib.md5(data + b"!" * wrong, usedforsecurity=False).digest())
        sent = Sent(offset, data, counts=checksum is None or not (wrong or end != "well"))
        model.sent.append(sent)
        slow = random.choice(self.slow)
        return sent, Stream(self.world, data, announced=announced, end=end, slow=slow), checksum

    # Bytes

    async def _upload(self) -> None:
        model = self.model
        offset = await self.offset(model)
        while offset < self.length or not self.declared:
            await self._misbehave(offset)
            try:
                offset = await self._patch(model, offset, self._step(offset))
            except (*LATER, OffsetConflict, ChecksumMismatch):
                if not self.world.calm and self.random.random() < IN_VAIN:
                    await self._return_in_vain(model, offset)
                await self.pause(3)
                offset = await self.offset(model)
            except NotFound:
                raise self.gone(model) from None
            if self.random.random() < 0.3:
                await self.pause(8)
        if not self.world.calm and self.random.random() < ROBBED:
            self.world.rob(model)
        if self.role is Role.WHOLE:
            await self._read(model)

    async def _return_in_vain(self, model: Model, offset: int) -> None:
        """Take the upload over with requests that break off before their first byte, and stay away for a while."""
        for _ in range(self.random.choice((1, 2))):
            body = Stream(self.world, b"", announced=None, end="broken", slow=0)
            append = Append(id=self.id_of(model), offset=offset, body=body)
            with contextlib.suppress(NoAnswer, TusfmError):
                await self._ask_to_append(append, None)
        await asyncio.sleep(self.world.weather.long())

    def _server(self) -> Server | None:
        """Return the process that the bytes go to; None: to any."""
        return None

    def _step(self, offset: int) -> int:
        left = self.length - offset
        if self.world.calm:
            return left
        return min(left, self.random.choice((*SIZES, left, left, left)))

    async def _patch(self, model: Model, offset: int, size: int) -> int:
        """Send bytes, and perhaps the length; returns the offset that was answered."""
        before = model.told
        sent, body, checksum = self._body(model, offset, size)
        declares = not self.declared and (self.world.calm or offset + size == self.length or self.random.random() < 0.2)
        append = Append(
            id=self.id_of(model),
            offset=offset,
            length=self.length if declares else None,
            checksum=checksum,
            body=body,
        )
        try:
            progress = await self._ask_to_append(append, self._server())
        except OffsetConflict as error:
            self.told(model, error.offset, before)
            raise
        finally:
            body.cut()
        self.told(model, progress.offset, before)
        if size and progress.offset != offset + size:
            self.world.fail(f"{model.id}: {size} bytes at {offset} were answered with {progress.offset}")
        sent.reached = progress.offset
        self._judge_durable(model, progress.offset)
        if declares and append.length is not None:
            self.declared = True
        return progress.offset

    async def _ask_to_append(self, append: Append, server: Server | None) -> Progress:
        return await self.world.ask(lambda engine: engine.uploads.append(append), self.patience(), server)

    def _judge_durable(self, model: Model, offset: int) -> None:
        row = self.world.invariants.row(self.id_of(model))
        if row is not None and row.state in {State.RECEIVING, State.FINALIZING, State.AVAILABLE} and row.offset < offset:
            self.world.fail(f"{model.id}: {offset} bytes were acknowledged, and the row says {row.offset}")

    async def _misbehave(self, offset: int) -> None:
        """Do what clients should not, or seldom, do: a rival request, a stale offset, a deletion, or nothing for long."""
        if self.world.calm:
            return
        chance = self.random.random()
        if chance < 0.1:
            size = min(self.random.choice(SIZES), self.length - offset)
            self._rivals.append(self.world.begin(self._rival(self.model, offset, size)))
        elif chance < 0.15 and offset:
            self._rivals.append(self.world.begin(self._rival(self.model, self.random.randrange(offset), 50)))
        elif chance < 0.2:
            self._rivals.append(self.world.begin(self._look(self.model)))
        elif chance < 0.22:
            await self.delete(self.model)
        elif chance < 0.24:
            await asyncio.sleep(self.world.weather.long())
        elif chance < 0.27:
            self._rivals.append(self.world.begin(self._delete_meanwhile(self.model, 0, 3)))
        elif chance < 0.31:
            await self._come_late()

    async def _come_late(self) -> None:
        """Stay away until the upload's time is about over, or a little longer: it may be that nobody has swept it yet."""
        settings, model = self.world.settings, self.model
        await asyncio.sleep((settings.expire_after or 0) + self.random.uniform(-1, settings.sweep_every))
        for _ in range(3):
            if not self.world.calm and model.told < self.length:
                self._rivals.append(self.world.begin(self._rival(model, model.told, self.random.randrange(1, 50))))
            await self.pause(2)

    async def _rival(self, model: Model, offset: int, size: int) -> None:
        declared = self.declared
        try:
            self.declared = True  # a rival says nothing of the length
            patching = self._patch(model, offset, min(size, self.length - offset))
        finally:
            self.declared = declared
        try:
            await patching
        except (NoAnswer, TusfmError):
            return

    async def _look(self, model: Model) -> None:
        try:
            await self.offset(model)
        except Gone:
            return

    async def _delete_meanwhile(self, model: Model, least: float, most: float) -> None:
        await asyncio.sleep(self.random.uniform(least, most))
        try:
            await self.delete(model)
        except Gone:
            return

    async def _read(self, model: Model) -> None:
        if not self.world.calm and self.random.random() < (1.0 if model.robbed else 0.05):
            self._rivals.append(self.world.begin(self._delete_meanwhile(model, *IMPATIENT_SECONDS)))
        content = await self.read(model)
        if content != model.content or len(content) != self.length:
            self.world.fail(f"{model.id} was read, and has other bytes")
        if self.random.random() < 0.5:
            await self.delete(model)


class Trickler(Uploader):
    """Sends little at a time, and mostly stays with a process for as long as that answers, as a balancer may have it.

    A request that goes astray goes alone: the next one is for the process that the others went to.
    """

    slow = (0.0,)

    def __init__(self, world: World, role: Role = Role.WHOLE) -> None:
        """Choose no process yet."""
        super().__init__(world, role)
        self.length = self.random.choice((900, 1500, 2600, 4200))
        self.tidy = self.random.random() < TIDY
        self._chosen: Server | None = None

    def _server(self) -> Server | None:
        if self.random.random() < STRAYS:
            return None
        if self._chosen is None or not self._chosen.answers or self.random.random() < STRAYS:
            able = [one for one in self.world.servers if one.answers]
            self._chosen = self.random.choice(able) if able else None
        return self._chosen

    def _step(self, offset: int) -> int:
        return min(self.length - offset, self.random.choice((20, 60, 110, 150)))

    async def _misbehave(self, offset: int) -> None:
        if self.random.random() < 0.3:
            await super()._misbehave(offset)
