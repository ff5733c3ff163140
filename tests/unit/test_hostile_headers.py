"""Grammars of headers under whatever text: they read it, or refuse it in their own words, and nothing else happens."""

import base64
import logging

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st

from tusfm.domain import metadata
from tusfm.engine.checksums import ALGORITHMS
from tusfm.logs import Json, Text
from tusfm.protocol import ranges
from tusfm.protocol.disposition import clean, content_disposition, content_type
from tusfm.protocol.tus import headers
from tusfm.protocol.web import Public

HEADER_TEXT = st.text(st.characters(codec="latin-1"), max_size=300) | st.text(max_size=50)
"""As aiohttp hands it over, and beyond that."""
NAMES = st.text(st.characters(codec="utf-8"), max_size=300)


@given(HEADER_TEXT)
@example("a")
@example("a b")
@example("a YQ==,a YQ==")
@example("a YQ")
@example("a  YQ==")
@example(",")
@example("\u0661 YQ==")
def test_metadata_is_read_or_refused(text: str) -> None:
    """Any text is pairs or BadMetadata, and pairs were written in it."""
    try:
        pairs = metadata.parse(text)
    except metadata.BadMetadata as error:
        assert str(error).endswith(".")  # noqa: PT017  either is right
        return
    assert all(key in text and key.isascii() for key in pairs)


@given(st.dictionaries(st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True), st.binary(max_size=50) | st.none(), max_size=10))
def test_metadata_that_was_written_is_read_again(pairs: dict[str, bytes | None]) -> None:
    """What is written by the grammar comes back."""
    written = ",".join(f"{key} {base64.b64encode(value).decode()}" if value else key for key, value in pairs.items())
    assert metadata.parse(written) == {key: value or None for key, value in pairs.items()}


@given(HEADER_TEXT)
@example("0")
@example("00")
@example("-0")
@example("1_0")
@example("\u0661")
@example("9223372036854775808")
@example("9" * 5000)
def test_numbers_are_read_or_refused(text: str) -> None:
    """A number of 63 bits, as it is written, or BadHeader."""
    try:
        number = headers.number("Upload-Offset", [text])
    except headers.BadHeader:
        return
    assert number is not None
    assert 0 <= number < 2**63
    assert str(number) == text.strip(" \t")


@given(HEADER_TEXT | HEADER_TEXT.map(lambda text: f"final;{text}") | HEADER_TEXT.map(lambda text: f"sha1 {text}"))
@example("final;http://169.254.169.254/latest/meta-data")
@example("final;file:///etc/passwd")
@example("final;http://[/files/00000000000000000000000000000000")
@example("final;/files/../files/00000000000000000000000000000000")
@example("final;/files/0000000000000000000000000000000g")
@example("sha1 " + "A" * 28)
def test_concatenations_and_checksums_are_read_or_refused(text: str) -> None:
    """Ids of this server's shape and digests of their length, or BadHeader; nothing is ever asked of another host."""
    try:
        read = headers.concat(text, "/files/")
    except headers.BadHeader:
        read = headers.Concat(None)
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in read.partials or ())
    try:
        digest = headers.checksum(text)
    except headers.BadHeader:
        return
    assert len(digest.digest) == ALGORITHMS[digest.algorithm][1]


@given(HEADER_TEXT | HEADER_TEXT.map(lambda text: f"bytes={text}"), st.integers(0, 2**63))
def test_ranges_lie_within_the_file(text: str, size: int) -> None:
    """Whatever is asked for, only bytes that are there are given, and no more of them than there are."""
    try:
        found = ranges.parse(text, size)
    except ranges.Unsatisfiable:
        return
    assert all(0 <= one.start < one.start + one.length <= size for one in found)
    assert len(found) <= 1 or sum(one.length for one in found) <= size


@given(NAMES, NAMES)
@example("a\r\nSet-Cookie: b", "text/html\r\nX: y")
@example('a"; filename=b', "text/html;a=b")
@example("../../etc/passwd", "image/svg+xml")
@example("\u202egpj.exe", "text/plain")
@example("a\0b", "TEXT/HTML")
@example("\uff0e\uff0e\uff0fetc\uff3cpasswd", "image/png")
def test_names_and_types_cannot_leave_their_header(name: str, kind: str) -> None:
    """What a client calls its file is printable ASCII in a header, of one line, one name, and no folder."""
    for header in (content_disposition(kind, name), content_type(kind)):
        assert header.isascii()
        assert header.isprintable()
    plain = content_disposition(kind, name).split('"')
    assert len(plain) in {1, 3}
    assert not set(plain[1:2]) & {".", ".."}
    assert not set("".join(plain[1:2])) & set("/\\")
    assert not set(clean(name)) & set("/\\\r\n\0\u202e\u2028")


@pytest.mark.parametrize("prefix", ["/../up", "/a/./b", "//evil.example", "up", "/a b"])
def test_a_forwarded_prefix_leads_nowhere_else(prefix: str) -> None:
    """A malformed one, or one that leaves its folder, is as good as none."""
    request = make_mocked_request("POST", "/files/", {"Host": "h.example", "X-Forwarded-Prefix": prefix})
    assert Public(None, behind_proxy=True).base(request) == "http://h.example"


@pytest.mark.parametrize("formatter", [Text(), Json()], ids=["text", "json"])
@given(text=HEADER_TEXT)
@example(text="/files/x\n2026-11-26T00:00:00 ERROR tusfm: forged")
@example(text="\x1b[2J\x9b31m\r\x85\u2028\u202e")
def test_no_input_forges_a_line_of_the_log(formatter: logging.Formatter, text: str) -> None:
    """Whatever a path or a driver says, an event is one line, and no control character reaches a terminal."""
    line = formatter.format(logging.LogRecord("tusfm", logging.WARNING, "x", 1, "%s", (text,), None))
    assert len(line.splitlines()) == 1
    assert not any(one < " " or "\x7f" <= one < "\xa0" for one in line)
