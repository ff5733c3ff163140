"""What happens to calls on their way: each is drawn by the seed."""

import math
from collections.abc import Sequence
from enum import Enum, auto
from random import Random

from tests.simulation.scale import DAY


class Fate(Enum):
    """What becomes of one call."""

    FINE = auto()
    SLOW = auto()
    """It takes seconds."""
    REFUSED = auto()
    """It fails, and has no effect."""
    LOST = auto()
    """It has its effect, and the answer is lost."""
    LATE = auto()
    """The caller gives up, and afterwards, after a day perhaps, it has its effect."""
    TWICE = auto()
    """The first answer is lost, the adapter sends it again, and the second answer arrives."""
    ECHO = auto()
    """The adapter had sent it twice; the first sending arrives long after the second was answered."""
    FREEZES_BEFORE = auto()
    """The process stands still before it sends it."""
    FREEZES_AFTER = auto()
    """The process stands still after it sent it."""
    KILLS_BEFORE = auto()
    """The process is lost before it has an effect."""
    KILLS_AFTER = auto()
    """The process is lost after it has had its effect."""


WEIGHTS = {
    Fate.SLOW: 3.0,
    Fate.REFUSED: 2.0,
    Fate.LOST: 3.0,
    Fate.LATE: 3.0,
    Fate.TWICE: 2.0,
    Fate.ECHO: 2.0,
    Fate.FREEZES_BEFORE: 0.7,
    Fate.FREEZES_AFTER: 0.7,
    Fate.KILLS_BEFORE: 0.5,
    Fate.KILLS_AFTER: 0.5,
}
"""How often each is met, to the others, when a call is not fine."""
ROUGHNESS = (0.0, 0.01, 0.03, 0.08, 0.2)
"""The share of calls that are not fine; a seed draws one for each backend."""
HESITATION = 0.3  # of looks that found nothing
MOST_LATE_SECONDS = 0.8 * DAY


class Weather:
    """Draws fates and delays. After `clear` every call is fine."""

    def __init__(self, random: Random) -> None:
        """Draw how rough it is, and which fates this seed has at all."""
        self._random = random
        self._rough = {backend: random.choice(ROUGHNESS) for backend in ("storage", "metadata")}
        chosen = [fate for fate in WEIGHTS if random.random() < 0.7]  # swarm testing: some seeds lack what hides the rest
        self._fates: Sequence[Fate] = chosen or [Fate.SLOW]
        self._weights = [WEIGHTS[fate] for fate in self._fates]
        self.away_until = {"storage": 0.0, "metadata": 0.0}
        self._latency = random.choice((0.002, 0.02, 0.3))

    def clear(self) -> None:
        """From now on all is fine."""
        self._rough = dict.fromkeys(self._rough, 0.0)
        self.away_until = dict.fromkeys(self.away_until, 0.0)
        self._latency = min(self._latency, 0.02)

    def still(self) -> None:
        """From now on no call takes any time."""
        self._latency = 0.0

    def fate(self, backend: str, now: float) -> Fate:
        """Draw what becomes of a call."""
        if now < self.away_until[backend]:
            return Fate.REFUSED
        if self._random.random() >= self._rough[backend]:
            return Fate.FINE
        return self._random.choices(self._fates, self._weights)[0]

    def hesitates(self) -> bool:
        """Draw whether a process stands still between a look at the storage and what it does about it."""
        return self._rough["storage"] > 0 and self._random.random() < HESITATION

    def latency(self) -> float:
        """Draw the seconds of a way; every other one takes none, and is not waited for."""
        return max(0.0, 2 * self._random.random() - 1) * self._latency

    def seconds(self) -> float:
        """Draw a wait that somebody notices: from a tenth of a second to twenty."""
        return 0.1 * math.exp(self._random.random() * math.log(200))

    def long(self) -> float:
        """Draw a wait that is longer than any timeout, or not: from a second to most of a day."""
        return math.exp(self._random.random() * math.log(MOST_LATE_SECONDS))
