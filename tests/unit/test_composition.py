"""The plan of a composition, held against AWS's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfm.engine.composition import MIN_PART, CopyPart, GatherPart, TooManyParts, bundles, plan
from tusfm.ports.storage import Source

MOST_COPY = 5 * 1024 * 1024 * 1024  # bytes of a range, says AWS
LENGTHS = st.one_of(
    st.integers(0, 3 * MIN_PART),
    st.sampled_from([0, 1, MIN_PART - 1, MIN_PART, MIN_PART + 1, MOST_COPY, MOST_COPY + 1, 3 * MOST_COPY + 7]),
)


def stretches(step: CopyPart | GatherPart) -> tuple[Source, ...]:
    """Return what a step takes its bytes from."""
    return (step.source,) if isinstance(step, CopyPart) else step.sources


@given(st.lists(LENGTHS, max_size=30))
def test_a_plan_keeps_every_byte_in_order(lengths: list[int]) -> None:
    """The steps, one after another, are the sources, one after another."""
    sources = [Source(f"files/{index}", 0, length) for index, length in enumerate(lengths)]
    reached = dict.fromkeys((source.key for source in sources), 0)
    order = []
    for step in plan(sources):
        for stretch in stretches(step):
            assert stretch.start == reached[stretch.key]
            reached[stretch.key] += stretch.length
            order.append(int(stretch.key.partition("/")[2]))
    assert order == sorted(order)
    assert reached == {source.key: source.length for source in sources}


@given(st.lists(LENGTHS, max_size=30), st.booleans())
def test_a_plan_keeps_the_storages_rules(lengths: list[int], whole: bool) -> None:  # noqa: FBT001
    """All parts but the last have 5 MiB; ranges come from sources above 5 MiB and have 5 GiB at most; numbers count up."""
    sources = {f"files/{index}": length for index, length in enumerate(lengths)}
    steps = plan([Source(key, 0, length, whole) for key, length in sources.items()])
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    for step in steps[:-1]:
        assert sum(one.length for one in stretches(step)) >= MIN_PART
    for step in steps:
        if isinstance(step, CopyPart):
            assert sources[step.source.key] > MIN_PART - step.source.whole
            assert not step.source.whole or step.source.length == sources[step.source.key]
            assert step.source.length <= MOST_COPY
        else:
            assert sum(one.length for one in step.sources) < 3 * MIN_PART


def test_whole_sources_of_the_least_size_are_copied() -> None:
    """Chunks of 5 MiB, as many clients send them, and a shorter last one: nothing but the last is read."""
    steps = plan([*(Source(f"files/{index}", 0, MIN_PART, whole=True) for index in range(5)), Source("files/5", 0, 7)])
    assert [isinstance(step, CopyPart) for step in steps] == [True] * 5 + [False]


@given(st.lists(LENGTHS, max_size=40), st.integers(10, 30))
def test_bundles_fit_into_a_multipart_upload_each(lengths: list[int], most: int) -> None:
    """One after another they are the sources, and the plan of each has no more parts than it may."""
    sources = [Source(f"files/{index}", 0, length) for index, length in enumerate(lengths) if length <= MOST_COPY]
    runs = bundles(sources, most)
    assert [source for run in runs for source in run] == sources
    assert all(len(plan(run)) <= most for run in runs)


def test_too_many_parts_are_refused() -> None:
    """A plan of more than 9,000 parts is not made: S3 takes 10,000."""
    with pytest.raises(TooManyParts):
        plan([Source("files/a", 0, 6 * 1024 * 1024)] * 9001)
