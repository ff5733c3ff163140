"""Running something on the engine, for a command."""

import asyncio
from collections.abc import Awaitable, Callable

from tusfm.settings import Settings
from tusfm.wiring import Engine, opened


def run(settings: Settings, work: Callable[[Engine], Awaitable[None]]) -> None:
    """Open the backends, do the work, and close them. Unusable."""

    async def run() -> None:
        async with opened(settings) as engine:
            await work(engine)

    asyncio.run(run())
