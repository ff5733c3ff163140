"""How an object is composed of others inside a storage: a pure plan from lengths to steps, by AWS's rules.

A part is copied from one source, in ranges of equal length between 5 MiB and 5 GiB, and only from sources above 5 MiB, or
of 5 MiB when they are copied whole; all parts but the last have 5 MiB or more. Small sources are read and gathered, with a
neighbour's bytes if they are too few.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tusfm.ports.storage import Source

MIB = 1024 * 1024
MIN_PART = 5 * MIB
COPY_BYTES = 1024 * MIB  # large copies take the storage long; several of this size go at once
MOST_PARTS = 9_000


@dataclass(frozen=True, slots=True)
class CopyPart:
    """A part that the storage copies by itself."""

    number: int
    source: Source


@dataclass(frozen=True, slots=True)
class GatherPart:
    """A part whose bytes are read and sent, one source after another."""

    number: int
    sources: tuple[Source, ...]


class TooManyParts(ValueError):
    """The sources do not fit into one multipart upload; they must be composed in several first."""


def plan(sources: Sequence[Source]) -> list[CopyPart | GatherPart]:
    """Plan the parts of an object, in order. TooManyParts."""
    steps: list[CopyPart | GatherPart] = []
    small: list[Source] = []
    for source in (one for one in sources if one.length):
        rest = source
        if small:
            lacking = MIN_PART - sum(one.length for one in small)
            taken, rest = _split(source, lacking if source.length - lacking > MIN_PART else source.length)
            small.append(taken)
            if sum(one.length for one in small) >= MIN_PART:
                steps.append(GatherPart(len(steps) + 1, tuple(small)))
                small = []
        if rest.length > MIN_PART or (rest.whole and rest.length == MIN_PART):
            for stretch in _ranges(rest):
                steps.append(CopyPart(len(steps) + 1, stretch))
        elif rest.length:
            small.append(rest)
    if small:
        steps.append(GatherPart(len(steps) + 1, tuple(small)))
    if len(steps) > MOST_PARTS:
        msg = f"{len(steps)} parts are more than {MOST_PARTS}"
        raise TooManyParts(msg)
    return steps


def bundles(sources: Sequence[Source], most: int = MOST_PARTS) -> list[list[Source]]:
    """Cut the sources into runs, each of which makes a multipart upload of at most so many parts."""
    runs: list[list[Source]] = []
    parts = most
    for source in sources:
        needed = -(-source.length // COPY_BYTES) + 1  # one for what is gathered before it
        if parts + needed > most:
            runs.append([])
            parts = 0
        runs[-1].append(source)
        parts += needed
    return runs


def _split(source: Source, length: int) -> tuple[Source, Source]:
    return (
        Source(source.key, source.start, length),
        Source(source.key, source.start + length, source.length - length),
    )


def _ranges(source: Source) -> Iterable[Source]:
    """Cut a source into ranges of equal length, or as good as; the last may be shorter by less than their number."""
    if source.length <= COPY_BYTES:
        yield source
        return
    count = -(-source.length // COPY_BYTES)
    step = -(-source.length // count)
    for start in range(0, source.length, step):
        yield Source(source.key, source.start + start, min(step, source.length - start))
