"""The product's sizes and long times, made small: a part has hundreds of bytes, and a day has minutes.

Proportions stay: a part is longer than the least part, a day longer than what an upload may stand still, that longer than a
lease. Leases, heartbeats, timeouts and pauses are the product's own.
"""

import contextlib
import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from tusfm.settings import Settings, load

DAY = 240.0
HOUR = 20.0
EXPIRE_AFTER = (120.0, 40.0)
MULTIPART_AGE = (100.0, 12.0, 5.0)
SWEEP_SECONDS = (15.0, 4.0)
SELDOM_SECONDS = DAY / 3
MIN_PART = 200
PART = 320
SMALL = 160

CONSTANTS: dict[str, object] = {
    "tusfm.engine.multiparts:PART_BYTES": PART,
    "tusfm.engine.multiparts:TURN_NUMBERS": 5,
    "tusfm.engine.gathering:TURN_NUMBERS": 5,
    "tusfm.engine.part_layout:PartLayout.small": SMALL,
    "tusfm.engine.part_layout:MOST_TAILS": 6,
    "tusfm.engine.parts:MOST_TAILS": 6,
    "tusfm.engine.composition:MIN_PART": MIN_PART,
    "tusfm.engine.composition:COPY_BYTES": 2 * PART,
    "tusfm.engine.budget:READ_BYTES": 40,
    "tusfm.engine.budget:JOINED_BYTES": 60,
    "tusfm.engine.receiving:ENOUGH_BYTES": 150,
    "tusfm.engine.presence:LISTEN_SECONDS": 0.5,
    "tusfm.engine.expiration:DAY_SECONDS": DAY,
}
SELDOM: dict[str, object] = {
    "tusfm.engine.finalization:RESUME_SECONDS": SELDOM_SECONDS,
    "tusfm.engine.outbox:LOOK_SECONDS": SELDOM_SECONDS,
}
"""For days in which nobody waits for anything."""
STATEMENTS = {"86400000": str(int(DAY * 1000)), "3600000": str(int(HOUR * 1000))}
"""Days and hours as they stand in SQL, in milliseconds."""


@contextlib.contextmanager
def replaced(places: Mapping[str, object]) -> Iterator[None]:
    """Put values in the places ("module:name.name") for a while."""
    before: list[tuple[object, str, object]] = []
    try:
        for place, value in places.items():
            module, _, path = place.partition(":")
            *outer, name = path.split(".")
            owner: object = functools.reduce(getattr, outer, importlib.import_module(module))
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def settings(random: Random) -> Settings:
    """Draw the settings of a deployment."""
    return replace(
        load({}),
        expire_after=random.choice(EXPIRE_AFTER),
        sweep_every=random.choice(SWEEP_SECONDS),
        read_timeout=8.0,
        s3_multipart_age=random.choice(MULTIPART_AGE),
    )
