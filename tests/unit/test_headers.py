"""The grammars of tus headers."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfm.domain import metadata
from tusfm.domain.upload import MAX_SIZE, is_id, new_id
from tusfm.protocol.tus import headers
from tusfm.protocol.tus.headers import BadHeader

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1, max_size=20)


@given(st.integers(0, MAX_SIZE))
def test_every_size_is_read_back(value: int) -> None:
    """G9: each integer from 0 to 2^63 - 1 is read as itself."""
    assert headers.number("Upload-Offset", [str(value)]) == value


@given(st.text(max_size=30))
def test_nothing_else_is_a_number(value: str) -> None:
    """G9: a text is a number only if it is the decimal form of one."""
    stripped = value.strip(" \t")
    plain = stripped.isascii() and stripped.isdigit() and str(int(stripped)) == stripped and int(stripped) <= MAX_SIZE
    try:
        assert headers.number("Upload-Offset", [value]) == int(stripped)
    except BadHeader:
        assert not plain
    else:
        assert plain


@given(st.dictionaries(KEYS, st.none() | st.binary(min_size=1, max_size=50), max_size=8))
def test_metadata_is_read_back(pairs: dict[str, bytes | None]) -> None:
    """CR6: what a client writes by the grammar is read as it was meant."""
    header = " , ".join(key if value is None else f"{key} {base64.b64encode(value).decode()}" for key, value in pairs.items())
    assert metadata.parse(header) == pairs


@given(st.text(max_size=200))
def test_any_text_is_metadata_or_refused(header: str) -> None:
    """CR8: whatever a client sends is read or refused; nothing else happens."""
    try:
        pairs = metadata.parse(header)
    except metadata.BadMetadata:
        return
    assert all(key.isascii() and " " not in key and "," not in key for key in pairs)


@given(st.text(max_size=100))
def test_any_text_is_a_checksum_or_refused(value: str) -> None:
    """K4: whatever a client sends as checksum is read or refused."""
    try:
        read = headers.checksum(value)
    except BadHeader:
        return
    assert read.algorithm in value


@given(st.text(max_size=200))
def test_any_text_names_partials_of_ours_or_is_refused(value: str) -> None:
    """N12: only ids of our shape come out of Upload-Concat."""
    try:
        read = headers.concat(value, "/files/")
    except BadHeader:
        return
    assert all(is_id(one) for one in read.partials or ())


PREFIXED = [f"https://x/{prefix}/files/{{}}" for prefix in ("p/q", "a%20b", "a,b", "a;b", "0" * 32, "0" * 64)]


@pytest.mark.parametrize("url", ["http://h/files/{}", "/files/{}", "{}", *PREFIXED, "/files/%{}"])
def test_urls_of_ours(url: str) -> None:
    """N12: absolute, relative and prefixed URLs name the same upload; the path is decoded once."""
    name = new_id()
    shown = url.replace("%{}", f"%{ord(name[0]):02x}{name[1:]}").format(name)
    assert headers.concat(f"final;{shown}", "/files/").partials == (name,)


@pytest.mark.parametrize("between", [",", ";", "%20", "%0a", "%2C", "%C2%A0", ",http://h", "|", "&"])
@pytest.mark.parametrize("first", ["/files/{}", "http://h/p/files/{}", "{}"])
def test_a_list_with_other_separators_is_refused(between: str, first: str) -> None:
    """N12: it does not pass for its last URL."""
    with pytest.raises(BadHeader):
        headers.concat(f"final;{first.format(new_id())}{between}/files/{new_id()}", "/files/")


def test_ids_have_one_shape() -> None:
    """An id is 32 lower-case hexadecimal digits, and no other text is."""
    assert is_id(new_id())
    assert not any(is_id(text) for text in ("", "a" * 31, "A" * 32, "a" * 32 + "\n", "\uff41" * 32))


def test_a_time_is_an_imf_fixdate() -> None:
    """E1: Upload-Expires has HTTP's one form of a date."""
    assert headers.expires(784_111_777_000) == "Sun, 06 Nov 1994 08:49:37 GMT"
