"""Sizes, ages, times and names as people write and read them."""

import argparse
import re
import time

from tusfm.setting_values import MOST_SECONDS

AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([a-z]{0,3})", re.ASCII | re.IGNORECASE)
SIZES = {"": 1, "b": 1}
SIZES |= {f"{letter}{end}": 1000**power for power, letter in enumerate("kmgt", 1) for end in ("", "b")}
SIZES |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}
AGES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
ENOUGH = 10  # of a unit, to be written without a fraction


def size(text: str) -> int:
    """Read bytes: `5000`, `10MB`, `1.5GiB`. ArgumentTypeError."""
    return int(_amount(text, SIZES, "a size is a number of bytes, such as 5000, 10MB or 1.5GiB"))


def age(text: str) -> float:
    """Read seconds: `90`, `15m`, `3h`, `2d`, `1w`. ArgumentTypeError."""
    seconds = _amount(text, AGES, "an age is a number of seconds, or such as 15m, 3h, 2d or 1w")
    if seconds > MOST_SECONDS:
        msg = "nothing here is older than a hundred years, or lasts longer"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def word(text: str) -> str:
    """Read a name; a terminal may give bytes that no database compares. ArgumentTypeError."""
    if not text.isprintable():
        msg = "a name has printable characters only"
        raise argparse.ArgumentTypeError(msg)
    return text


def _amount(text: str, units: dict[str, int], wanted: str) -> float:
    found = AMOUNT.fullmatch(text.strip())
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise argparse.ArgumentTypeError(wanted)
    return float(found[1]) * unit


def shown_size(count: float) -> str:
    """Write bytes so that they can be compared at a glance."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004  the next unit
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def shown_age(seconds: float) -> str:
    """Write a duration in its largest unit, as age reads it."""
    for unit in ("w", "d", "h", "m"):
        if seconds >= AGES[unit]:
            amount = seconds / AGES[unit]
            return f"{amount:.1f}{unit}" if amount < ENOUGH else f"{amount:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"


def shown_time(at_ms: int | None) -> str | None:
    """Write a time, in ms since 1970."""
    return None if at_ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))
