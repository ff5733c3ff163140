"""The grammar of tus headers, read and written; pure."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from tusfm.domain.upload import MAX_SIZE, is_id
from tusfm.engine.checksums import ALGORITHMS, Checksum

VERSION = "1.0.0"
LISTED = re.compile(r"(?:^|/)[0-9a-f]{32}[^\w/]")  # an id with a separator behind it


class BadHeader(ValueError):
    """A header does not follow its grammar; the text says which, and how."""


def number(name: str, values: Sequence[str]) -> int | None:
    """Read a header that is a non-negative decimal integer up to 2^63 - 1; None without one (rule G9). BadHeader.

    Two lines that say the same are one; blanks around the value are HTTP's.
    """
    if not values:
        return None
    value = values[0].strip(" \t")
    if any(other.strip(" \t") != value for other in values[1:]):
        msg = f"{name} stands twice, with two values."
        raise BadHeader(msg)
    plain = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
    if not plain or len(value) > len(str(MAX_SIZE)) or int(value) > MAX_SIZE:
        msg = f"{name} must be a decimal integer from 0 to {MAX_SIZE}."
        raise BadHeader(msg)
    return int(value)


def checksum(value: str) -> Checksum:
    """Read `Upload-Checksum`: an algorithm and a digest in base64 (rules K2 to K4). BadHeader."""
    name, blank, encoded = value.strip(" \t").partition(" ")
    if name not in ALGORITHMS:
        msg = f"Upload-Checksum must use one of {', '.join(ALGORITHMS)}."
        raise BadHeader(msg)
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "The digest in Upload-Checksum is not base64."
        raise BadHeader(msg) from error
    if not blank or len(digest) != ALGORITHMS[name][1]:
        msg = f"A digest of {name} has {ALGORITHMS[name][1]} bytes."
        raise BadHeader(msg)
    return Checksum(name, digest)


@dataclass(frozen=True, slots=True)
class Concat:
    """`Upload-Concat`: a partial, or a final with the ids of its partials."""

    partials: tuple[str, ...] | None

    @property
    def final(self) -> bool:
        """Whether it is a final."""
        return self.partials is not None


def concat(value: str, base: str) -> Concat:
    """Read `Upload-Concat`; of each URL only the path is looked at (rules N4, N12). *base* is the path of the endpoint.

    BadHeader.
    """
    value = value.strip(" \t")
    if not value.isascii():
        msg = "Upload-Concat must be ASCII."
        raise BadHeader(msg)
    if value == "partial":
        return Concat(None)
    word, semicolon, urls = value.partition(";")
    if word.strip() != "final" or not semicolon or not urls.split():
        msg = "Upload-Concat must be 'partial', or 'final;' and the URLs of partial uploads."
        raise BadHeader(msg)
    return Concat(tuple(_id_of(url, base) for url in urls.split()))


def _id_of(url: str, base: str) -> str:
    """Return the id that a URL of this server names; proxies may have put a prefix before the path.

    A list whose separators are not blanks, or encoded, is no URL: it must not pass for its last one.
    """
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = ""
    folder, _, name = path.rpartition("/")
    if not is_id(name) or (folder and not f"{folder}/".endswith(base)) or LISTED.search(folder):
        msg = "A URL in Upload-Concat is no upload's of this server."
        raise BadHeader(msg)
    return name


def expires(at_ms: int) -> str:
    """Write a time, in ms since 1970, as an IMF-fixdate (rule E1)."""
    return formatdate(at_ms / 1000, usegmt=True)
