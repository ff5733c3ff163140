"""The open stretch of an upload."""

from hypothesis import given
from hypothesis import strategies as st

from tusfm.domain.upload import Extent, ExtentKind
from tusfm.engine.stretch import Stretch

PIECES = st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=12)


@given(PIECES, st.integers(1, 60), st.integers(0, 12))
def test_a_cut_keeps_every_byte_and_splits_no_tail(pieces: list[bytes], size: int, tailed: int) -> None:
    """What is cut off and what is left are the stretch, in order; a tail lies whole in one of them."""
    ends = [100 + sum(map(len, pieces[:count])) for count in range(len(pieces) + 1)]
    end = ends[min(tailed, len(pieces))]
    tails = [Extent(ExtentKind.TAIL, 100, end - 100, "work/x/t/1-1")] if end > 100 else []
    stretch = Stretch(100, ends[-1], 100, list(pieces), list(tails))
    first = stretch.cut(size)
    assert first.pieces + stretch.pieces == pieces
    assert (first.base, first.end, stretch.end) == (100, stretch.base, ends[-1])
    assert first.tails == tails
    assert all(tail.end <= first.end for tail in tails)
    assert first.size >= min(size, ends[-1] - 100)
