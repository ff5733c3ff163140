"""What happens in one run: clients and faults for a while, then calm, and at last the look at what is left."""

import asyncio
from dataclasses import replace

from tests.simulation import scale
from tests.simulation.concatenating import Concatenator
from tests.simulation.uploading import Trickler, Uploader
from tests.simulation.world import World

PATIENCE_SECONDS = 300.0  # virtual; leases, second looks and pauses of half a minute each come one after another
SETTLED_SECONDS = 30.0  # requests that nobody waits for any more end, too
STORMS = (20.0, 60.0, 150.0, 400.0)


async def play(world: World) -> None:
    """Play one game."""
    random = world.random
    for _ in range(random.choice((1, 2, 3))):
        world.start_server()
    kinds: list[type[Uploader | Concatenator]] = [
        random.choice((Uploader, Uploader, Trickler, Concatenator)) for _ in range(random.choice((1, 1, 2, 3)))
    ]
    clients = [kind(world) for kind in kinds]
    running = [world.begin(one.run()) for one in clients]
    storm = world.begin(_storm(world))
    await asyncio.wait(running, timeout=random.choice(STORMS))
    storm.cancel()
    world.clear()
    _, late = await asyncio.wait(running, timeout=PATIENCE_SECONDS)
    if late:
        stuck = [one.model.id or one.model.name for one, task in zip(clients, running, strict=True) if task in late]
        world.fail(f"{PATIENCE_SECONDS:g} s after the last fault these are not finished: {stuck}")
    await _aftermath(world)


async def _storm(world: World) -> None:
    """Strike now and then, beside what befalls single calls."""
    random = world.random
    pause = random.choice((1.0, 5.0, 20.0, 100.0))
    while True:
        await asyncio.sleep(random.expovariate(1 / pause))
        strike = random.choice(("lose", "stop", "freeze", "storage", "metadata", "abort"))
        if strike in {"storage", "metadata"}:
            world.say("", strike, "is away")
            world.weather.away_until[strike] = world.loop.now + world.weather.seconds()
        elif strike == "abort":
            _abort(world)
        elif world.servers:
            server = random.choice([one for one in world.servers if one.requests] or world.servers)
            {"lose": world.lose, "stop": world.stop_server, "freeze": world.freeze}[strike](server)


def _abort(world: World) -> None:
    """Abort a multipart upload from outside."""
    if world.shelf.unfinished and world.random.random() < 0.3:
        world.abort(world.random.choice(sorted(world.shelf.unfinished)))


async def _aftermath(world: World) -> None:
    """Let days pass on one process that seldom looks: everything expires, is swept and buried, and nothing may be left."""
    await asyncio.sleep(SETTLED_SECONDS)
    world.invariants.judge_memory()
    for server in world.servers:
        server.stop()
    await asyncio.sleep(1)
    world.servers.clear()
    world.weather.still()
    world.settings = replace(world.settings, sweep_every=scale.SELDOM_SECONDS)
    with scale.replaced(scale.SELDOM):
        world.start_server()
        await asyncio.sleep(3 * scale.DAY)
    world.invariants.judge_end()
