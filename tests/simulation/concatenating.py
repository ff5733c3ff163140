"""Clients that concatenate."""

import asyncio
from collections.abc import Awaitable, Sequence

from tests.simulation.clients import Client, Gone
from tests.simulation.invariants import Model
from tests.simulation.uploading import Uploader
from tusfm.domain.errors import NotFound
from tusfm.domain.upload import Role
from tusfm.engine.creating import Creation


class Concatenator(Client):
    """Uploads partials at once, and makes finals of them: before or after they are finished, one or two."""

    async def run(self) -> None:
        """Make them; when a partial is gone, its finals are too."""
        uploaders = [Uploader(self.world, Role.PARTIAL) for _ in range(self.random.choice((1, 2, 3)))]
        for one in uploaders:
            await one._create()
        running = [self.world.begin(self._unless_gone(one._upload())) for one in uploaders]
        if self.random.random() < 0.5:
            await asyncio.wait(running)
        models = [one.model for one in uploaders]
        order = models if self.random.random() < 0.7 else [*models, models[0]]
        running.append(self.world.begin(self._unless_gone(self._final(order))))
        if self.random.random() < 0.4:
            await self.pause(60)
            await self._unless_gone(self._final(self.random.choice((order[::-1], order[:1]))))
        await asyncio.wait(running)

    async def _unless_gone(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Gone:
            return

    async def _final(self, partials: Sequence[Model]) -> None:
        model = self.model = self.world.invariants.model(role=Role.FINAL)
        model.partials = list(partials)
        creation = Creation(length=None, metadata=model.name, role=Role.FINAL, concat="final;")
        ids = [self.id_of(one) for one in partials]
        try:
            model.id = (await self.until_answered(lambda engine: engine.uploads.concatenate(creation, ids))).id
        except NotFound:
            raise Gone from None
        content = await self.read(model)
        if content != model.content:
            self.world.fail(f"the final {model.id} was read, and has other bytes")
        if self.random.random() < 0.5:
            await self.delete(model)
