"""The grammar of `Upload-Metadata`: pairs of a key and a base64 value, separated by commas (tus 1.0.0, creation)."""

import base64
import binascii

MAX_BYTES = 16 * 1024


class BadMetadata(ValueError):
    """The header does not follow the grammar; the text says how."""


def parse(header: str) -> dict[str, bytes | None]:
    """Read the header into a dictionary; a key without a value has None. BadMetadata.

    Rules CR6 to CR8: keys are ASCII without space or comma and unique, values are padded base64, a value may be missing,
    blanks around a comma are forgiven, and an empty header is no metadata.
    """
    if len(header) > MAX_BYTES:
        msg = f"Upload-Metadata may have {MAX_BYTES} bytes at most."
        raise BadMetadata(msg)
    if not header.strip(" \t"):
        return {}
    pairs: dict[str, bytes | None] = {}
    for text in header.split(","):
        key, value = _pair(text.strip(" \t"))
        if key in pairs:
            msg = "A key stands twice in Upload-Metadata."
            raise BadMetadata(msg)
        pairs[key] = value
    return pairs


def text(pairs: dict[str, bytes | None], *names: str) -> str | None:
    """Return the first of these names that has a value, as text; bytes that are no UTF-8 become U+FFFD."""
    for name in names:
        value = pairs.get(name)
        if value:
            return value.decode("utf-8", "replace")
    return None


def _pair(text: str) -> tuple[str, bytes | None]:
    key, blank, value = text.partition(" ")
    if not key or not key.isascii() or not key.isprintable():
        msg = "A key in Upload-Metadata must be printable ASCII without spaces or commas, and not empty."
        raise BadMetadata(msg)
    if not blank or not value:
        return key, None
    try:
        return key, base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "A value in Upload-Metadata is not base64."
        raise BadMetadata(msg) from error
