"""Running seeds, one after another in one process."""

import contextlib
import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.simulation.game import play
from tests.simulation.scale import CONSTANTS, replaced
from tests.simulation.world import World


@dataclass(frozen=True)
class Outcome:
    """What a seed came to: the violation, None when all invariants held; *lines* is the trace if it was asked for."""

    seed: int
    violation: str | None
    steps: int
    cpu_seconds: float
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mutation:
    """What is taken out of the product: stretches of its SQL, and things in its modules ("module:name.name")."""

    statements: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, object] = field(default_factory=dict)


NOTHING = Mutation()


def run(seed: int, *, tracing: bool = False, without: Mutation = NOTHING) -> Outcome:
    """Run one seed."""
    began = time.process_time()
    with replaced({**CONSTANTS, **without.places}):
        world = World(seed, tracing=tracing, statements=without.statements)
        world.run(play)
    return Outcome(seed, world.violation, world.loop.steps, time.process_time() - began, world.lines or [])


def run_many(seeds: Iterable[int]) -> list[Outcome]:
    """Run many; what the modules made is not looked through for garbage after each of them."""
    with aside():
        return [run(seed) for seed in seeds]


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Keep the garbage collector off what is there already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
