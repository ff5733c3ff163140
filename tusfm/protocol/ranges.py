"""Which bytes a download asks for: `Range`, `If-Range` and the validators of RFC 9110; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

MOST_RANGES = 32  # more, or more bytes than the file has, is no reader's wish


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes from *start*, *length* of them."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """Write the `Content-Range` of these bytes of a file."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class Unsatisfiable(Exception):
    """No range lies within the file (RFC 9110, 15.5.17)."""


def parse(header: str, size: int) -> Sequence[Stretch]:
    """Read a `Range` header for a file of *size* bytes; empty when it is to be ignored. Unsatisfiable.

    Another unit, a malformed set, or too much of one is ignored, as RFC 9110, 14.2 allows: the whole file is sent.
    """
    unit, equals, listed = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return ()
    specs = [spec.strip(" \t") for spec in listed.split(",") if spec.strip(" \t")]
    if not specs or len(specs) > MOST_RANGES:
        return ()
    try:
        wanted = [_stretch(spec, size) for spec in specs]
    except ValueError:
        return ()
    found = [stretch for stretch in wanted if stretch is not None]
    if not found:
        raise Unsatisfiable
    if len(found) > 1 and sum(stretch.length for stretch in found) > size:
        return ()
    return found


def _stretch(spec: str, size: int) -> Stretch | None:
    """Read `first-last`, `first-` or `-suffix`; None when it lies behind the end. ValueError."""
    first, dash, last = spec.partition("-")
    if not dash or not (first or last) or not all(_decimal(part) for part in (first, last) if part):
        raise ValueError(spec)
    if not first:
        length = min(int(last), size)
        return Stretch(size - length, length) if length else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        raise ValueError(spec)
    return Stretch(start, end - start + 1) if start < size else None


def _decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def matches(header: str, etag: str, *, weak: bool) -> bool:
    """Tell whether a list of entity tags has this one; *weak* compares them weakly (If-None-Match)."""
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    return any(tag == etag or (weak and tag.removeprefix("W/") == etag) for tag in tags)


def seconds(date: str) -> int | None:
    """Read an HTTP date as seconds since 1970; None when it is none."""
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def unchanged(if_range: str, etag: str, modified: int) -> bool:
    """Tell whether `If-Range` still describes the file: its strong tag, or its exact date (RFC 9110, 13.1.5)."""
    value = if_range.strip()
    if value.startswith(('"', "W/")):
        return value == etag
    return seconds(value) == modified
