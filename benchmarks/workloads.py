"""The workloads: what is done, on which servers, and what ours is to reach."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import asking, breaking, finishing, uploading
from benchmarks.client import KIB, MIB
from benchmarks.meter import Meter
from benchmarks.servers import BARE, DIRECT, NODE, ONE_PATCH, SINK, TUSD, TUSFM

GIB = 1024 * MIB
PEERS = (TUSFM, TUSD, NODE)
WITH_LIMIT = (*PEERS, DIRECT)
BESIDE_BARE = (*PEERS, BARE, SINK)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure of ours is to reach, and to aim at.

    *against*: a server whose figure *of* (the same, if it is not given) ours is divided by, or another workload of ours.
    *at_most*: less is better.
    """

    figure: str
    reach: float
    aim: float
    against: str | None = None
    of: str | None = None
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether it is reached."""
        return value <= self.reach if self.at_most else value >= self.reach


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table. *unit* is that of "rate", *cost* that of "cpu", and its factor for seconds a unit of work."""

    name: str
    title: str
    run: Callable[[Meter], None]
    unit: str
    servers: Sequence[str]
    goals: Sequence[Goal] = ()
    cost: tuple[str, float] = ("s a GiB", 1024)
    shown: Sequence[tuple[str, str]] = ()
    """More figures to show, and the heads of their columns."""
    counted: bool = False
    """Whether a run that is not timed counts the requests to S3, a unit of work."""
    bytes_each: float = 0.0
    """Bytes of one unit of work, for what goes up and down."""
    brief: float = 0.25
    """The scale of a run in `make bench-quick`, and of a counted one."""
    quick: bool = False


EACH = ("ms each", 1000.0)
WAITED = (("p50", "p50, ms"), ("p99", "p99, ms"))


def _most(figure: str, reach: float, aim: float) -> Goal:
    return Goal(figure, reach, aim, at_most=True)


def _beside_tusd(reach: float, aim: float) -> Goal:
    return Goal("rate", reach, aim, against=TUSD)


PRODUCTION: Sequence[Workload] = (
    Workload(
        "W1",
        "one stream of 2 GiB in one PATCH",
        uploading.streams(1, 2 * GIB),
        "MiB/s",
        WITH_LIMIT,
        (_beside_tusd(1.15, 1.3), _most("cpu", 1.8, 1.3)),
        counted=True,
        bytes_each=MIB,
        quick=True,
    ),
    Workload(
        "W2",
        "eight streams of 256 MiB",
        uploading.streams(8, 256 * MIB),
        "MiB/s",
        WITH_LIMIT,
        (_beside_tusd(1.15, 1.35), _most("peak", 400, 400), _most("temp", 0, 0)),
        counted=True,
        bytes_each=MIB,
    ),
    Workload(
        "W2x",
        "64 streams of 32 MiB",
        uploading.streams(64, 32 * MIB),
        "MiB/s",
        PEERS,
        (Goal("rate", 0.8, 0.95, against="W2"), _most("up", 1.2, 1.2), _most("down", 0.1, 0.1)),
        counted=True,
        bytes_each=MIB,
        brief=1.0,
    ),
    Workload(
        "W3c",
        "files of 16 KiB, 16 at once, creation-with-upload",
        uploading.small_files(2000, by_patch=False),
        "files/s",
        WITH_LIMIT,
        (_beside_tusd(1.7, 2.5), _most("calls", 1, 1)),
        EACH,
        WAITED,
        counted=True,
        bytes_each=16 * KIB,
        quick=True,
    ),
    Workload(
        "W3p",
        "the same by POST and PATCH",
        uploading.small_files(2000, by_patch=True),
        "files/s",
        PEERS,
        (_beside_tusd(1.7, 2.5), _most("calls", 1, 1)),
        EACH,
        WAITED,
        counted=True,
        bytes_each=16 * KIB,
    ),
    Workload(
        "W4a",
        "256 MiB in PATCHes of 64 KiB (peers: 32 MiB)",
        uploading.patches(256 * MIB, 64 * KIB, share=1 / 8),
        "PATCH/s",
        PEERS,
        (_beside_tusd(5, 8), _most("calls", 1.2, 1.2), _most("up", 2.05, 2.05), _most("down", 0.1, 0.1)),
        EACH,
        WAITED,
        counted=True,
        bytes_each=64 * KIB,
    ),
    Workload(
        "W4b",
        "256 MiB in PATCHes of 1 MiB",
        uploading.patches(256 * MIB, MIB),
        "PATCH/s",
        PEERS,
        (_beside_tusd(3, 4), _most("calls", 1.3, 1.3)),
        EACH,
        WAITED,
        counted=True,
        bytes_each=MIB,
        quick=True,
    ),
    Workload(
        "W5",
        "HEAD of an upload of 1, 600 and 9,000 parts",
        asking.heads(1, 600, 9000),
        "ms",
        PEERS,
        (_most("p50 of 1", 1.2, 0.6), Goal("p50 of 9000", 1.1, 1.1, against=TUSFM, of="p50 of 1", at_most=True)),
        EACH,
        (("p50 of 1", "1 part"), ("p50 of 600", "600 parts"), ("p50 of 9000", "9,000 parts")),
        quick=True,
    ),
    Workload(
        "W6",
        "beside 1,000 clients at 4 KiB/s, a fast one keeps",
        breaking.crowd(1000),
        "of its speed",
        PEERS,
        (Goal("kept", 0.7, 0.85), _most("peak", 400, 300), _most("temp", 0, 0), _most("errors", 0, 0)),
        shown=(("errors", "errors"),),
    ),
    Workload(
        "W7",
        "concatenation of 8 times 64 MiB, until it is complete",
        asking.concatenation(8, 64 * MIB),
        "s",
        (TUSFM, TUSD),
        (Goal("rate", 1.15, 1.0, against=TUSD, at_most=True), _most("answered", 0.1, 0.05)),
        EACH,
        (("answered", "s until POST is answered"),),
    ),
    Workload(
        "W8",
        "download of 1 GiB through the server",
        asking.downloads(GIB),
        "MiB/s",
        WITH_LIMIT,
        (_beside_tusd(0.6, 1.0),),
    ),
    Workload(
        "W9",
        "1 GiB cut 50 times, FIN and RST in turn",
        breaking.cut(GIB, 50),
        "MiB/s",
        PEERS,
        (_beside_tusd(1.1, 1.25), Goal("again", 1.0, 1.0, against=TUSD, at_most=True)),
        shown=(("again", "MiB sent again"),),
    ),
    Workload(
        "W9s",
        "256 MiB cut 15 times in silence, without the pauses of 0.25 s",
        breaking.silent(256 * MIB, 15),
        "MiB/s",
        PEERS,
        (_beside_tusd(1.0, 1.0), _most("head", 1000, 150), _most("again", 0, 0)),
        shown=(("head", "ms for the slowest HEAD"), ("again", "MiB sent again")),
    ),
    Workload(
        "W10",
        "start, and memory of an idle process",
        asking.start,
        "s",
        PEERS,
        (_most("rate", 1.5, 1.0), _most("idle", 125, 105)),
        shown=(("idle", "idle MiB"),),
    ),
)

EMBEDDED: Sequence[Workload] = (
    Workload(
        "W1",
        "one stream of 2 GiB in one PATCH",
        uploading.streams(1, 2 * GIB),
        "MiB/s",
        BESIDE_BARE,
        (Goal("rate", 0.8, 1.1, against=TUSD, of="synced"),),
        shown=(("synced", "MiB/s after a sync"),),
    ),
    Workload(
        "W2",
        "eight streams of 256 MiB",
        uploading.streams(8, 256 * MIB),
        "MiB/s",
        BESIDE_BARE,
        (Goal("rate", 0.8, 1.1, against=TUSD, of="synced"),),
        shown=(("synced", "MiB/s after a sync"),),
    ),
    Workload(
        "W3c",
        "files of 16 KiB, 16 at once, creation-with-upload",
        uploading.small_files(2000, by_patch=False),
        "files/s",
        BESIDE_BARE,
        (_beside_tusd(0.7, 1.1),),
        EACH,
        WAITED,
    ),
    Workload(
        "W3p",
        "the same by POST and PATCH",
        uploading.small_files(2000, by_patch=True),
        "files/s",
        BESIDE_BARE,
        (_beside_tusd(0.7, 1.1),),
        EACH,
        WAITED,
    ),
    Workload(
        "W4a",
        "64 MiB in PATCHes of 64 KiB",
        uploading.patches(64 * MIB, 64 * KIB),
        "PATCH/s",
        BESIDE_BARE,
        (_beside_tusd(0.2, 0.4),),
        EACH,
        WAITED,
    ),
    Workload(
        "W4b",
        "256 MiB in PATCHes of 1 MiB",
        uploading.patches(256 * MIB, MIB),
        "PATCH/s",
        BESIDE_BARE,
        (_beside_tusd(0.5, 0.8),),
        EACH,
        WAITED,
    ),
    Workload(
        "W5",
        "HEAD of an upload that nobody writes",
        asking.heads(1),
        "ms",
        PEERS,
        (_most("p50 of 1", 0.9, 0.5),),
        EACH,
    ),
    Workload(
        "W8",
        "download of 1 GiB through the server",
        asking.downloads(GIB),
        "MiB/s",
        PEERS,
        (_beside_tusd(0.6, 1.0),),
    ),
    Workload(
        "W10",
        "start, and memory of an idle process",
        asking.start,
        "s",
        PEERS,
        (_most("rate", 0.9, 0.6), _most("idle", 90, 70)),
        shown=(("idle", "idle MiB"),),
    ),
)
WORKERS: Sequence[Workload] = (
    Workload(
        "W11",
        "1 GiB in chunks of 10 MiB by the older API, four at once, from the first chunk to SUCCESS",
        finishing.chunked(GIB, 10 * MIB, 4),
        "s",
        (TUSFM, ONE_PATCH),
        (Goal("rate", 1.6, 1.3, against=ONE_PATCH, at_most=True), _most("up", 1.01, 1.01), _most("down", 0.01, 0.01)),
        counted=True,
        bytes_each=MIB,
    ),
    Workload(
        "W12",
        "from the last byte of an upload of 9 MiB to the first byte of its download",
        finishing.last_byte(50, 9 * MIB),
        "ms",
        (TUSFM,),
        (_most("rate", 150, 100),),
        EACH,
        (("answered", "PATCH answered, ms"), ("p99", "p99, ms")),
    ),
    Workload(
        "W13",
        "1,000 finalizations queued while the worker stands still",
        finishing.queue(1000),
        "finalizations/s",
        (TUSFM,),
        (_most("attempts", 1, 1),),
        EACH,
        (("attempts", "attempts each"),),
    ),
)
STACKS = {"production": PRODUCTION, "embedded": EMBEDDED, "workers": WORKERS}
