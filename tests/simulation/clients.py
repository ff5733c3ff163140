"""What all clients do: ask here and there, and believe only what they are told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.simulation.invariants import Model
from tests.simulation.world import NoAnswer, World
from tusfm.domain.errors import BytesLost, NotFinished, NotFound, Unavailable
from tusfm.domain.upload import Role
from tusfm.wiring import Engine

T = TypeVar("T")


class Gone(Exception):
    """The upload is no more, as it may be."""


class Client:
    """Asks, and holds each answer against what was said before."""

    def __init__(self, world: World) -> None:
        """Take the world."""
        self.world = world
        self.model = Model("", Role.WHOLE, None)
        self.random = world.random

    async def pause(self, most: float) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(self.random.random() * (most if not self.world.calm else min(most, 1.0)))

    def patience(self) -> float:
        """Draw how long an answer is waited for."""
        return 60.0 if self.world.calm else self.random.choice((1.0, 5.0, 30.0))

    async def until_answered(self, work: Callable[[Engine], Awaitable[T]]) -> T:
        """Make a request, elsewhere and elsewhere, until it is answered."""
        while True:
            try:
                return await self.world.ask(work, self.patience())
            except (NoAnswer, Unavailable):
                await self.pause(3)

    async def offset(self, model: Model) -> int:
        """Ask where the upload stands. Gone."""
        before = model.told
        try:
            upload = await self.until_answered(lambda engine: engine.uploads.status(self.id_of(model)))
        except NotFound:
            raise self.gone(model) from None
        self.told(model, upload.offset, before)
        return upload.offset

    def id_of(self, model: Model) -> str:
        """Return the id that the creation was answered with."""
        assert model.id is not None
        return model.id

    def told(self, model: Model, offset: int, before: int) -> None:
        """Take an offset; *before* is the highest that was told when the request began."""
        self.world.say("", "told", model.name, offset)
        if offset < before:
            self.world.fail(f"{model.id}: offset {offset} was told after {before}")
        model.told = max(model.told, offset)

    def gone(self, model: Model) -> Gone:
        """Judge a 404: only what expired, was deleted or lost its bytes from outside is not there."""
        row = None if model.id is None else self.world.invariants.row(model.id)
        if row is not None and not row.gone:
            self.world.fail(f"{model.id} is said not to be there, and is {row.state}")
        model.gone = True
        return Gone()

    async def delete(self, model: Model) -> None:
        """Delete, until an answer says that it is gone."""
        model.deletable = True
        try:
            await self.until_answered(lambda engine: engine.uploads.terminate(self.id_of(model)))
        except NotFound:
            self.gone(model)
        raise Gone

    async def read(self, model: Model) -> bytes:
        """Read the finished file, until it is there. Gone."""

        async def whole(engine: Engine) -> bytes:
            stored = await engine.uploads.open(self.id_of(model))
            return b"".join([piece async for piece in stored.read(0, stored.size)])

        while True:
            try:
                return await self.until_answered(whole)
            except NotFinished:
                await self.pause(3)
            except (NotFound, BytesLost):  # it may be deleted while it is read
                raise self.gone(model) from None
