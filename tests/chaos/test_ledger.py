"""What notices a broken promise notices it, and a seed repeats its schedule."""

import pytest

from tests.chaos.ledger import Tally, Upload, Violation
from tests.chaos.storm import schedule
from tests.conformance.client import noise


def test_bytes_of_two_writers_are_told_apart() -> None:
    """A second writer began at byte 50: the first one's bytes count up to there, and neither fewer nor more."""
    upload = Upload(noise(100), Tally(), starts=[0])
    first, second = upload.write(0, 100), upload.write(50, 50)
    for mixed in (first[:70] + second[20:], first[:30] + second[:20] + second):
        with pytest.raises(Violation):
            upload.got(mixed)
    upload.got(first[:50] + second)


def test_a_seed_draws_the_same_blows() -> None:
    """The schedule follows from the seed, and a longer one begins as a shorter one does."""
    assert schedule(7, 60) == schedule(7, 120)[: len(schedule(7, 60))]
    assert schedule(7, 60) != schedule(8, 60)
