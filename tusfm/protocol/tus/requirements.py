"""What can be judged of a request from the request alone: one pure function a rule, and for each verb an ordered list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from tusfm.domain import metadata
from tusfm.domain.access import file_name_fits, file_type_fits
from tusfm.domain.errors import NameNotAllowed, TypeNotAllowed
from tusfm.domain.upload import MAX_SIZE
from tusfm.engine.checksums import Checksum
from tusfm.engine.rules import Rules
from tusfm.protocol.tus import headers
from tusfm.protocol.tus.headers import VERSION, BadHeader, Concat

OFFSET_OCTETS = "application/offset+octet-stream"


class Refusal(Exception):
    """A requirement is not met: a status, one sentence, and headers that belong to it."""

    def __init__(self, status: int, text: str, extra: Mapping[str, str] | None = None) -> None:
        """Take the answer."""
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = extra or {}


@dataclass(slots=True)
class Asked:
    """A request's headers, and what the requirements have read out of them."""

    headers: CIMultiDictProxy[str]
    size: int | None
    rules: Rules
    base: str
    offset: int | None = None
    length: int | None = None
    deferred: bool = False
    metadata: str = ""
    checksum: Checksum | None = None
    concat: Concat | None = None

    @property
    def has_body(self) -> bool:
        """Whether bytes may come: some were announced, or nobody knows how many."""
        return self.size != 0

    def number(self, name: str) -> int | None:
        """Read a number, or refuse with 400."""
        try:
            return headers.number(name, self.headers.getall(name, []))
        except BadHeader as error:
            raise Refusal(400, str(error)) from error


Requirement = Callable[[Asked], None]


def version_if_any(asked: Asked) -> None:
    """G2: a download needs no version, but no other than ours."""
    if "Tus-Resumable" in asked.headers:
        version(asked)


def version(asked: Asked) -> None:
    """G2: any other version than ours, or none, is refused without a side effect."""
    if set(asked.headers.getall("Tus-Resumable", [])) != {VERSION}:
        raise Refusal(412, f"Tus-Resumable must be {VERSION}.", {"Tus-Version": VERSION})


def offset(asked: Asked) -> None:
    """P6, G9: a PATCH says from which byte on it writes."""
    asked.offset = asked.number("Upload-Offset")
    if asked.offset is None:
        raise Refusal(400, "Upload-Offset is missing.")


def length(asked: Asked) -> None:
    """CR3, D1: a creation says how long the upload is, or that it will say so later; not both."""
    asked.length = asked.number("Upload-Length")
    deferral = asked.headers.getall("Upload-Defer-Length", [])
    if any(value.strip(" \t") != "1" for value in deferral):
        raise Refusal(400, "Upload-Defer-Length can only be 1.")
    asked.deferred = bool(deferral)
    if asked.length is None and not asked.deferred:
        raise Refusal(400, "Either Upload-Length or Upload-Defer-Length is needed.")
    if asked.length is not None and asked.deferred:
        raise Refusal(400, "Upload-Length and Upload-Defer-Length exclude each other.")


def later_length(asked: Asked) -> None:
    """D2: a PATCH may bring the length that was deferred."""
    asked.length = asked.number("Upload-Length")


def no_length(asked: Asked) -> None:
    """N5: the length of a final follows from its partials."""
    if "Upload-Length" in asked.headers or "Upload-Defer-Length" in asked.headers:
        raise Refusal(400, "A final upload has no Upload-Length of its own.")


def no_body(asked: Asked) -> None:
    """N5: a final is made of its partials."""
    if asked.has_body:
        raise Refusal(403, "A final upload takes no bytes.")


def pairs(asked: Asked) -> None:
    """CR6 to CR8: metadata follows its grammar."""
    values = asked.headers.getall("Upload-Metadata", [])
    if len(values) > 1:
        raise Refusal(400, "Upload-Metadata stands twice.")
    header = values[0] if values else ""
    if not header.isascii():
        raise Refusal(400, "Upload-Metadata must be ASCII.")
    try:
        metadata.parse(header)
    except metadata.BadMetadata as error:
        raise Refusal(400, str(error)) from error
    asked.metadata = header


def digest_if_any(asked: Asked) -> None:
    """G15: on a creation without bytes a checksum means nothing."""
    if asked.has_body:
        digest(asked)


def digest(asked: Asked) -> None:
    """K2 to K4: a checksum is of a known algorithm, and its digest has that one's length."""
    values = asked.headers.getall("Upload-Checksum", [])
    if not values:
        return
    if len(values) > 1:
        raise Refusal(400, "Upload-Checksum stands twice.")
    try:
        asked.checksum = headers.checksum(values[0])
    except BadHeader as error:
        raise Refusal(400, str(error)) from error


def kind_of_file(asked: Asked) -> None:
    """Ours: the file is of a type and of a name that this deployment takes; a partial is no file."""
    rules = asked.rules
    if (rules.types is None and rules.names is None) or (asked.concat is not None and not asked.concat.final):
        return
    said = metadata.parse(asked.metadata)
    if not file_type_fits(rules.types, metadata.text(said, "filetype", "type")):
        raise TypeNotAllowed
    if not file_name_fits(rules.names, metadata.text(said, "filename", "name")):
        raise NameNotAllowed


def concatenation(asked: Asked) -> None:
    """N4, N12: a final names uploads of this server."""
    values = asked.headers.getall("Upload-Concat", [])
    if not values:
        return
    if len(values) > 1:
        raise Refusal(400, "Upload-Concat stands twice.")
    try:
        asked.concat = headers.concat(values[0], asked.base)
    except BadHeader as error:
        raise Refusal(400, str(error)) from error


def octets(asked: Asked) -> None:
    """P2: bytes come as application/offset+octet-stream."""
    kind = asked.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != OFFSET_OCTETS:
        raise Refusal(415, f"Content-Type must be {OFFSET_OCTETS}.")


def octets_if_any(asked: Asked) -> None:
    """W2: the same, for a creation that brings bytes; without any its type is ignored."""
    if asked.has_body:
        octets(asked)


def fits(asked: Asked) -> None:
    """CR3, D5, P6: nothing over the maximum, and no body over the length that comes with it."""
    limit = MAX_SIZE if asked.rules.max_size is None else asked.rules.max_size
    start = asked.offset or 0
    if max(asked.length or 0, start + (asked.size or 0)) > limit:
        raise Refusal(413, f"An upload may have {limit} bytes at most.")


def body_fits(asked: Asked) -> None:
    """W4: a creation's body is not over its length."""
    if asked.length is not None and asked.size is not None and asked.size > asked.length:
        raise Refusal(413, f"The body goes beyond the {asked.length} bytes that the upload may have.")


CREATE_ANY: Sequence[Requirement] = (version, concatenation)
CREATE: Sequence[Requirement] = (length, pairs, digest_if_any, octets_if_any, kind_of_file, fits, body_fits)
CREATE_FINAL: Sequence[Requirement] = (no_length, pairs, no_body, kind_of_file)
APPEND: Sequence[Requirement] = (version, offset, later_length, digest, octets, fits)
PLAIN: Sequence[Requirement] = (version,)
DOWNLOAD: Sequence[Requirement] = (version_if_any,)


def check(requirements: Sequence[Requirement], asked: Asked) -> None:
    """Hold the request against each in turn; the first that is not met is told. Refusal."""
    for requirement in requirements:
        requirement(asked)
