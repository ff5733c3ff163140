"""Running something on the engine, for a command."""

import asyncio
from collections.abc import Awaitable, Callable

from tusfm.commands.outcome import Stop
from tusfm.settings import Settings
from tusfm.wiring import Engine, Unusable, opened


def run(settings: Settings, work: Callable[[Engine], Awaitable[None]]) -> None:
    """Open the backends, do the work, and close them. Stop, where a backend cannot be used."""

    async def run() -> None:
        async with opened(settings) as engine:
            await work(engine)

    try:
        asyncio.run(run())
    except Unusable as error:
        raise Stop(str(error)) from error
