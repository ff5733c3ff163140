"""What a browser may do with a stranger's file: its type, its name, and whether it is shown or saved; pure."""

import re
import unicodedata
from urllib.parse import quote

OCTETS = "application/octet-stream"
TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}", re.ASCII)
SHOWN = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "audio/mpeg",
        "audio/mp4",
        "audio/ogg",
        "audio/webm",
        "audio/wav",
        "audio/flac",
        "text/plain",
    },
)
"""Types that run nothing: no HTML, no SVG, no XML, no PDF."""
MOST_NAME_BYTES = 255


def content_type(filetype: str | None) -> str:
    """Return the type that the client gave, if it is one, without parameters."""
    kind = (filetype or "").partition(";")[0].strip().lower()
    if not TYPE.fullmatch(kind):
        return OCTETS
    return f"{kind}; charset=utf-8" if kind == "text/plain" else kind


def content_disposition(filetype: str | None, filename: str | None) -> str:
    """Write `Content-Disposition` (RFC 6266): shown only if its type is harmless, under a name that is safe to save."""
    kind = content_type(filetype).partition(";")[0]
    how = "inline" if kind in SHOWN else "attachment"
    name = clean(filename or "")
    if not name:
        return how
    plain = clean(unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    plain = re.sub(r'["%]', "_", plain) or "file"
    if plain == name:
        return f'{how}; filename="{plain}"'
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def clean(filename: str) -> str:
    """Return a name without folders, without control, direction and other invisible characters, of 255 bytes at most."""
    last = re.split(r"[/\\]", filename)[-1]
    seen = "".join(one for one in last if unicodedata.category(one)[0] != "C" and one not in "\u2028\u2029")
    seen = seen.strip(" .") if set(seen) <= {".", " "} else seen.strip()
    while len(seen.encode()) > MOST_NAME_BYTES:
        stem, dot, suffix = seen.rpartition(".")
        seen = f"{stem[:-1]}{dot}{suffix}" if dot and stem and len(suffix) < 16 else seen[:-1]  # noqa: PLR2004
    return seen
