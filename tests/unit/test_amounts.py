"""Sizes and ages, as people write and read them."""

import argparse

import pytest

from tusfm.commands.amounts import age, shown_age, shown_size, size


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("5000", 5000), ("10MB", 10_000_000), ("10m", 10_000_000), ("1.5GiB", 1536 * 1024**2), ("2 TB", 2 * 10**12), ("7b", 7)],
)
def test_a_size_has_a_unit_or_none(text: str, bytes_: int) -> None:
    """Units of 1000 and of 1024 are told apart, in letters of either case."""
    assert size(text) == bytes_


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("15m", 900), ("3h", 10800), ("2d", 172800), ("1W", 604800)])
def test_an_age_has_a_unit_or_none(text: str, seconds: float) -> None:
    """Without a unit it is seconds."""
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "ten", "1_0", "\u0661", "5 parsecs", "1e9", "9" * 20])
def test_anything_else_is_refused(text: str) -> None:
    """With a sentence that says what is wanted."""
    for read, words in ((size, "a size is"), (age, "an age is")):
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            read(text)


def test_what_is_shown_is_short() -> None:
    """A number and a unit."""
    assert [shown_size(one) for one in (0, 1023, 1536, 5 * 1024**4)] == ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]
    assert [shown_age(one) for one in (-1, 59, 90, 7200, 86400 * 20)] == ["0s", "59s", "1.5m", "2.0h", "2.9w"]
