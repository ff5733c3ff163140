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


@given(PIECES, st.integers(0, 108))
def test_what_lies_behind_an_offset_may_begin_within_a_piece(pieces: list[bytes], behind: int) -> None:
    """A checkpoint may end within a piece to which more was joined: what follows are the bytes behind it, each once."""
    data = b"".join(pieces)
    behind = min(behind, len(data))
    stretch = Stretch(50, 100 + len(data), 100, list(pieces))
    assert b"".join(stretch.after(100 + behind)) == data[behind:]
    assert (stretch.drop(100 + behind), b"".join(stretch.pieces)) == (behind, data[behind:])
