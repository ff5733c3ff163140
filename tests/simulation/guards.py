"""The guards of the protocol, each taken out in turn, and the seeds until it is noticed.

A guard is a condition in the product's own SQL, or a step of its engine; where another one covers it, both are taken out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.runs import Mutation, aside, run
from tusfm.adapters import metadata_ending, metadata_receiving

CLAIM = metadata_receiving.CLAIM
OVERDUE = metadata_ending.OVERDUE


@dataclass(frozen=True)
class Guard:
    """What is taken out, in words, and how."""

    name: str
    without: Mutation


@dataclass(frozen=True)
class Found:
    """The number of the seed that noticed, from 1, and what it said; None when none of them did."""

    guard: Guard
    seeds: int | None
    violation: str = ""


def _sql(name: str, *replaced: tuple[str, str]) -> Guard:
    return Guard(name, Mutation(statements=dict(replaced)))


GUARDS = (
    _sql("a claim checks the offset", (CLAIM, CLAIM.replace("AND upload_offset = :offset ", ""))),
    _sql("a claim raises the epoch", ("SET epoch = epoch + 1, writer = :writer", "SET writer = :writer")),
    _sql("a commit checks the epoch", ("AND epoch = :epoch AND upload_offset = :offset", "AND upload_offset = :offset")),
    _sql("a commit that seizes raises the epoch", ("epoch = epoch + :raised", "epoch = epoch")),
    _sql("a multipart upload is recorded once", (" AND (multipart IS NULL OR multipart = :multipart)", "")),
    _sql("expiring compares the time", (OVERDUE, " AND state IN ('receiving', 'failed')")),
    _sql(
        "publishing checks state and lease",
        (
            "finished_at = {now} WHERE id = :id AND state = 'finalizing' AND lease = :lease",
            "finished_at = {now} WHERE id = :id",
        ),
    ),
    _sql(
        "a deleted partial fails its finals",
        ("error = 'A partial upload is gone.' WHERE", "error = 'A partial upload is gone.' WHERE 1 = 0 AND"),
    ),
    Guard("the sweep compares epochs", Mutation(places={"tusfm.engine.expiration:_behind": lambda *_: True})),
    Guard(
        "an object's key bears the epoch",
        Mutation(places={"tusfm.engine.parts:object_key": lambda one, *_: f"files/{one}/0"}),
    ),
    Guard(
        "a tail's key bears the epoch",
        Mutation(places={"tusfm.engine.parts:tail_key": lambda one, _, number: f"work/{one}/t/0-{number}"}),
    ),
)


def measure(most: int) -> Iterator[Found]:
    """Take each guard out, and run seeds until one notices, or so many did not."""
    with aside():
        for guard in GUARDS:
            for seed in range(most):
                outcome = run(seed, without=guard.without)
                if outcome.violation:
                    yield Found(guard, seed + 1, outcome.violation)
                    break
            else:
                yield Found(guard, None)


def show(most: int) -> None:
    """Print the table of docs/reliability.md."""
    print("| without this | noticed by seed |\n|---|---|")
    for found in measure(most):
        print(f"| {found.guard.name} | {found.seeds or f'not within {most}'} |", flush=True)
