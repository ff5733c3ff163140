"""Ranges of downloads, and names that are safe to save."""

from hypothesis import given
from hypothesis import strategies as st

from tusfm.protocol import ranges
from tusfm.protocol.disposition import clean, content_disposition, content_type
from tusfm.protocol.ranges import Unsatisfiable


@given(st.text(max_size=60) | st.from_regex(r"bytes=[0-9,\- ]{0,30}", fullmatch=True), st.integers(0, 2000))
def test_whatever_is_asked_lies_within_the_file(header: str, size: int) -> None:
    """Stretches that come out of a Range header lie within the file, and are not more than it."""
    try:
        found = ranges.parse(header, size)
    except Unsatisfiable:
        return
    assert all(one.start >= 0 and one.length > 0 and one.start + one.length <= size for one in found)
    assert len(found) <= 1 or sum(one.length for one in found) <= size


@given(st.text(max_size=300))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    """A Content-Disposition is one line of printable ASCII, whatever the name, and names no folder."""
    header = content_disposition("image/png", name)
    assert header.isascii()
    assert header.isprintable()
    assert not set(clean(name)) & set("/\\\r\n\0")
    assert len(clean(name).encode()) <= 255
    assert clean(name) not in {".", ".."}


@given(st.text(max_size=100))
def test_no_type_breaks_out_of_its_header(kind: str) -> None:
    """A Content-Type is one line of printable ASCII, whatever the client said."""
    assert content_type(kind).isascii()
    assert content_type(kind).isprintable()
