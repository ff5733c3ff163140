"""The guards of the protocol, each taken out in turn, and the seeds until it is noticed.

A guard is a condition in the product's own SQL, or a step of its engine; where another one covers it, both are taken out.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation import without
from tests.simulation.runs import Mutation, aside, run
from tusfm.adapters import metadata_ending, metadata_receiving, metadata_session

CHUNK = 5  # seeds that a process tries at once
CLAIM = metadata_receiving.CLAIM
ADD_EXTENT = metadata_session.ADD_EXTENT
OVERDUE = metadata_ending.OVERDUE
END = metadata_ending.END
FREE = metadata_ending.FREE_CONDITION
CLAIM_IN_TIME = f"upload_offset = :offset AND {metadata_receiving.IN_TIME} "
COMMIT_IN_TIME = f"upload_length = :length) AND {metadata_receiving.IN_TIME}"
COMMIT_WHERE = "AND epoch = :epoch AND upload_offset = :offset AND state = 'receiving'"
UNSEIZED: dict[str, object] = {
    "tusfm.adapters.metadata_receiving:ReceivingSql.commit": without.commit_unseized,
    "tusfm.engine.appending:Appender._remember": without.remember_unseized,
    "tusfm.engine.part_layout:PartLayout._keep": without.keep_unseized,
    "tusfm.engine.gathering:Gatherer._commit": without.count_unseized,
}
BEGIN = metadata_receiving.BEGIN_MULTIPART
UNDER_EPOCH = "AND epoch = :epoch "
ONCE = " AND (multipart IS NULL OR multipart = :multipart)"
FAIL = metadata_ending.FAIL
COMPLETE = ("tusfm.engine.multiparts:complete", "tusfm.engine.part_layout:complete")
TURN_WHERE = " WHERE id = :id AND epoch = :epoch AND state = 'receiving' AND multipart = :multipart"
NUMBERS = "next_part = 1 + COALESCE((SELECT MAX(number) FROM extents WHERE upload_id = :id AND kind = 'part'), 0)"


@dataclass(frozen=True)
class Guard:
    """What is taken out, in words, and how. *covered*: what makes up for it, if something does."""

    name: str
    without: Mutation
    covered: str = ""


@dataclass(frozen=True)
class Found:
    """The seed that noticed, and what it said; None when none of them did."""

    guard: Guard
    seed: int | None
    violation: str = ""


def _sql(name: str, *replaced: tuple[str, str], covered: str = "") -> Guard:
    return Guard(name, Mutation(statements=dict(replaced)), covered)


def _step(name: str, places: dict[str, object], covered: str = "") -> Guard:
    return Guard(name, Mutation(places=places), covered)


GUARDS = (
    _step(
        "the row is there before the object",
        {
            "tusfm.engine.creating:Creator._insert": without.insert_later,
            "tusfm.engine.creating:Creator._complete": without.complete_later,
            "tusfm.engine.part_layout:PartLayout.place": without.place_before_row,
        },
    ),
    _sql("a claim checks the offset", (CLAIM, CLAIM.replace("AND upload_offset = :offset ", ""))),
    _sql("a claim compares the expiry", (CLAIM_IN_TIME, "upload_offset = :offset ")),
    _sql("a claim raises the epoch", ("SET epoch = epoch + 1, writer = :writer", "SET writer = :writer")),
    _sql("a commit checks the epoch", (COMMIT_WHERE, COMMIT_WHERE.replace("AND epoch = :epoch ", ""))),
    _sql(
        "a commit checks the offset",
        (COMMIT_WHERE, COMMIT_WHERE.replace("AND upload_offset = :offset ", "")),
        covered="an extent is inserted once",
    ),
    _sql(
        "a commit checks the offset, and an extent is inserted once",
        (COMMIT_WHERE, COMMIT_WHERE.replace("AND upload_offset = :offset ", "")),
        (ADD_EXTENT, ADD_EXTENT.replace("INSERT", "INSERT OR REPLACE")),
    ),
    _sql(
        "a commit checks the state",
        (COMMIT_WHERE, COMMIT_WHERE.replace(" AND state = 'receiving'", "")),
        covered="who ends an upload raises the epoch",
    ),
    _sql(
        "who ends an upload raises the epoch",
        (END, END.replace("epoch = epoch + 1, ", "")),
        covered="a commit checks the state",
    ),
    _sql(
        "a commit checks the state, and who ends an upload raises the epoch",
        (COMMIT_WHERE, COMMIT_WHERE.replace(" AND state = 'receiving'", "")),
        (END, END.replace("epoch = epoch + 1, ", "")),
    ),
    _step("a commit that seizes raises the epoch", UNSEIZED, covered="a commit checks the offset"),
    Guard(
        "a commit that seizes raises the epoch, and a commit checks the offset",
        Mutation({COMMIT_WHERE: COMMIT_WHERE.replace("AND upload_offset = :offset ", "")}, UNSEIZED),
    ),
    _step(
        "an unknown commit keeps its objects, and is looked for",
        {"tusfm.adapters.database_mysql:_Outcome.of": without.fenced_is_fenced},
    ),
    _step("an object is confirmed before its commit", {"tests.simulation.ways:StorageWay.put": without.put_unconfirmed}),
    _step("parts count without a gap", {"tusfm.engine.parts:PartWriter._land": without.land_out_of_order}),
    _step("tails are deleted after the commit", {"tusfm.engine.parts:PartWriter._commit": without.delete_first}),
    _sql("part numbers are never used again", (CLAIM, CLAIM.replace("epoch = epoch + 1", "epoch = epoch + 1, " + NUMBERS))),
    _step("a gathered part counts when it has landed", {"tusfm.engine.gathering:Gatherer.landed": without.of}),
    _step(
        "gathered tails are deleted after the commit", {"tusfm.engine.gathering:Gatherer.landed": without.landed_and_deleted}
    ),
    _step("a gathered part's number is reserved", {"tusfm.engine.part_layout:Change": without.unreserved}),
    _step(
        "what is gathered is of the stretch that was last written here",
        {"tusfm.engine.gathering:Gatherer.of": without.of_any_stretch},
    ),
    _step("what memory keeps is of the row's epoch", {"tusfm.engine.stretch:Kept.of": without.kept_of_any_epoch}),
    _step(
        "a part is gathered when memory has all its bytes, and none before it is on its way",
        {
            "tusfm.engine.gathering:Gatherer.ready": without.always_ready,
            "tusfm.engine.gathering:Gatherer.start": without.start_in_any_case,
        },
    ),
    _sql(
        "a multipart upload is recorded under the epoch",
        (BEGIN, BEGIN.replace(UNDER_EPOCH, "")),
        covered="it is recorded once",
    ),
    _sql(
        "a multipart upload is recorded once",
        (BEGIN, BEGIN.replace(ONCE, "")),
        covered="it is recorded under the epoch",
    ),
    _sql(
        "a multipart upload is recorded under the epoch, and once",
        (BEGIN, BEGIN.replace(UNDER_EPOCH, "").replace(ONCE, "")),
    ),
    _step(
        "an object's key bears the epoch",
        {
            "tusfm.engine.parts:object_key": lambda one, *_: f"files/{one}/0",
        },
    ),
    _step("a tail's key bears the epoch", {"tusfm.engine.parts:tail_key": lambda one, _, number: f"work/{one}/t/0-{number}"}),
    _step("a small body's key has a random part", {"tusfm.engine.part_layout:secrets": without.NOT_RANDOM}),
    _step(
        "the length is set by the commit that ends the upload",
        {"tusfm.engine.appending:Appender._append_claimed": without.length_at_once},
    ),
    _step("the object is looked for after Complete", dict.fromkeys(COMPLETE, without.look_before)),
    _step("an unknown multipart upload alone is no success", dict.fromkeys(COMPLETE, without.unknown_is_done)),
    _sql(
        "publishing checks state and lease",
        (
            "finished_at = {now} WHERE id = :id AND state = 'finalizing' AND lease = :lease",
            "finished_at = {now} WHERE id = :id",
        ),
    ),
    _sql("failing checks state and lease", (FAIL, FAIL.replace(" AND state = 'finalizing' AND lease = :lease", ""))),
    _step("DELETE changes the row first", {"tusfm.engine.uploads:Uploads._end": without.bytes_first}),
    _step("expiry changes the row first", {"tusfm.engine.expiration:Sweep._expire_one": without.expire_bytes_first}),
    _sql("a commit compares the expiry", (COMMIT_IN_TIME, "upload_length = :length)")),
    _sql("a heartbeat compares the expiry", ("= :process AND expires_at > {now}", "= :process AND expires_at IS NOT NULL")),
    _sql(
        "expiring compares the time",
        (OVERDUE, " AND state IN ('receiving', 'failed')"),
        covered="what was found overdue does not come back: claims, commits and heartbeats compare the expiry",
    ),
    _step("the sweep compares epochs", {"tusfm.engine.expiration:_behind": lambda *_: True}),
    _sql(
        "a turn checks the multipart upload",
        (TURN_WHERE, TURN_WHERE.replace(" AND multipart = :multipart", "")),
        covered="it checks the epoch",
    ),
    _sql(
        "a turn checks the epoch",
        (TURN_WHERE, TURN_WHERE.replace(" AND epoch = :epoch", "")),
        covered="it checks the multipart upload",
    ),
    _sql(
        "a turn checks the multipart upload and the epoch",
        (TURN_WHERE, TURN_WHERE.replace(" AND multipart = :multipart", "").replace(" AND epoch = :epoch", "")),
    ),
    _step(
        "the sweep's turn raises the epoch first",
        {"tusfm.engine.expiration:Sweep._refresh": without.refresh_unseized},
        covered="it passes over what a living process writes to",
    ),
    _step(
        "the sweep's turn raises the epoch first, and passes over what a living process writes to",
        {
            "tusfm.engine.expiration:Sweep._refresh": without.refresh_unseized,
            "tusfm.adapters.metadata_receiving:ReceivingSql.worn": without.worn_or_written,
        },
    ),
    _sql(
        "a deleted partial fails its finals",
        ("error = 'A partial upload is gone.' WHERE", "error = 'A partial upload is gone.' WHERE 1 = 0 AND"),
    ),
    _sql(
        "no partial is freed that an unfinished final names", (FREE, FREE.replace("IN ('receiving', 'finalizing')", "= ''"))
    ),
)


def tried(number: int, seeds: Iterable[int]) -> tuple[int, str] | None:
    """Run seeds without the guard of this number; returns the first that notices, and what it says."""
    with aside():
        for seed in seeds:
            violation = run(seed, without=GUARDS[number].without).violation
            if violation:
                return seed, violation
    return None


def measure(guards: Iterable[int], most: int, jobs: int) -> Iterator[Found]:
    """Take each guard out, and run seeds until one notices, or so many did not."""
    with ProcessPoolExecutor(jobs) as processes:
        for number in guards:
            waiting = [processes.submit(tried, number, range(at, min(at + CHUNK, most))) for at in range(0, most, CHUNK)]
            seed, violation = next((found for one in waiting if (found := one.result())), (None, ""))
            for one in waiting:
                one.cancel()
            yield Found(GUARDS[number], seed, violation)


def show(text: str, most: int, jobs: int) -> None:
    """Print the table of docs/reliability.md, of the guards in whose names this pattern is found."""
    print("| without this | noticed by seed | as |\n|---|---|---|")
    for found in measure([number for number, guard in enumerate(GUARDS) if re.search(text, guard.name)], most, jobs):
        seed = f"none of {most}" if found.seed is None else found.seed
        said = re.sub(r"[0-9a-f]{32}", "ID", found.violation) or found.guard.covered
        print(f"| {found.guard.name} | {seed} | {said} |", flush=True)
