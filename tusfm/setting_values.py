"""How the values of settings are written; each reader raises a ValueError that says what it must be."""

import re
import ssl
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

MIB = 1024 * 1024
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
HOST = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9a-fA-F.]*:[0-9a-fA-F:.]+", re.ASCII)
ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#*@\s]+", re.ASCII)
MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|\*)", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
MOST_PORT = 65535
MOST_NUMBER = 2**63 - 1  # what a column of a database holds
MOST_SECONDS = 100 * 365 * 86400  # longer ends behind the last year that can be written
LOOPBACK = "127.0.0.0/8,::1"


def text(value: str) -> str:
    """Take it as it is."""
    return value


def optional(value: str) -> str | None:
    """Take it as it is; empty is None."""
    return value or None


def required(value: str) -> str:
    """Take it as it is, unless it is empty."""
    if not value:
        msg = "must not be empty"
        raise ValueError(msg)
    return value


def directory(value: str) -> str:
    """Read a path that may stand in SQLAlchemy's address of a database, which would lose what is behind a question mark."""
    if "?" in value:
        msg = "must be a path without a question mark"
        raise ValueError(msg)
    return required(value)


def whole(value: str) -> int:
    """Read a whole number, 0 or more."""
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(MOST_NUMBER)) and int(value) <= MOST_NUMBER):
        msg = f"must be a whole number from 0 to {MOST_NUMBER}"
        raise ValueError(msg)
    return int(value)


def positive(value: str) -> int:
    """Read a whole number above 0."""
    number = whole(value)
    if not number:
        msg = "must be a whole number above 0"
        raise ValueError(msg)
    return number


def port(value: str) -> int:
    """Read the number of a port."""
    number = positive(value)
    if number > MOST_PORT:
        msg = f"must be a port, from 1 to {MOST_PORT}"
        raise ValueError(msg)
    return number


def size(value: str) -> int | None:
    """Read bytes; empty is no limit."""
    return positive(value) if value else None


def budget(value: str) -> int:
    """Read bytes that are enough to work with."""
    number = positive(value)
    if number < 8 * MIB:
        msg = f"must be {8 * MIB} bytes or more"
        raise ValueError(msg)
    return number


def seconds(value: str) -> float:
    """Read seconds, 0 or more."""
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number <= MOST_SECONDS:
        msg = "must be a number of seconds, from 0 to those of a hundred years"
        raise ValueError(msg)
    return number


def more_seconds(value: str) -> float:
    """Read seconds above 0."""
    number = seconds(value)
    if not number:
        msg = "must be a number of seconds above 0"
        raise ValueError(msg)
    return number


def flag(value: str) -> bool:
    """Read yes or no."""
    if value.lower() not in {"0", "1", "true", "false", "yes", "no"}:
        msg = "must be 0 or 1"
        raise ValueError(msg)
    return value.lower() in {"1", "true", "yes"}


def url(value: str) -> str | None:
    """Read an http or https URL without a query, and leave out the slash at its end."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:  # a port, or an address of IPv6, that is none
        good = False
    if not good or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", value):
        msg = "must be an http or https URL in ASCII, without a query"
        raise ValueError(msg)
    return value.rstrip("/")


def host(value: str) -> str | None:
    """Read a host's name or address; empty is None."""
    if value and not HOST.fullmatch(value):
        msg = "must be a host: words of letters, digits, hyphens and underscores with dots between them, or an address"
        raise ValueError(msg)
    return value or None


def key_set_url(value: str) -> str | None:
    """Read the address of a key set."""
    if value and urlsplit(value).scheme not in {"http", "https"}:
        msg = "must be an http or https URL"
        raise ValueError(msg)
    return value or None


def endpoint(value: str) -> str | None:
    """Read a host, with a port or a scheme or without."""
    if not value:
        return None
    try:
        read = url(value if "://" in value else f"http://{value}")
    except ValueError:
        read = None
    if read is None or "_" in (urlsplit(read).hostname or ""):
        msg = "must be a host (letters, digits, dots and hyphens), with a port or without, or an http or https URL"
        raise ValueError(msg)
    return read


def name(value: str) -> str:
    """Read a word of letters, digits and hyphens."""
    if not NAME.fullmatch(value):
        msg = "must be a word of letters, digits and hyphens"
        raise ValueError(msg)
    return value


def bucket(value: str) -> str:
    """Read a bucket's name."""
    if not BUCKET.fullmatch(value):
        msg = "must be a bucket's name: 3 to 63 small letters, digits, dots and hyphens"
        raise ValueError(msg)
    return value


def optional_bucket(value: str) -> str | None:
    """Read a bucket's name; empty is None."""
    return bucket(value) if value else None


def prefix(value: str) -> str:
    """Read what keys begin with, and end it with a slash."""
    if not PREFIX.fullmatch(value.strip("/")):
        msg = "must be words of letters, digits, '_', '-' and, within them, '.', with slashes between them; it is never empty"
        raise ValueError(msg)
    return value.strip("/") + "/"


def certificates(value: str) -> str | None:
    """Read the name of a file of certificates."""
    if not value:
        return None
    try:
        ssl.create_default_context(cafile=value)
    except OSError:
        msg = "must be a file of certificates (PEM) that can be read"
        raise ValueError(msg) from None
    return value


def encryption(value: str) -> str | None:
    """Read the name of an encryption at rest."""
    if value not in {"", "AES256", "aws:kms"}:
        msg = "must be AES256 or aws:kms, or empty"
        raise ValueError(msg)
    return value or None


def origins(value: str) -> tuple[str, ...] | None:
    """Read a list of origins; None is all of them."""
    if value.strip() == "*":
        return None
    listed = tuple(one.strip().rstrip("/").lower() for one in value.split(",") if one.strip())
    if not all(ORIGIN.fullmatch(one) for one in listed):
        msg = "must be *, or origins such as https://app.example with commas between them"
        raise ValueError(msg)
    return listed


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read a list of networks; off is none, local is this machine."""
    if value.lower() == "off":
        return ()
    wanted = LOOPBACK if value.lower() == "local" else value
    try:
        return tuple(ip_network(one.strip(), strict=False) for one in wanted.split(","))
    except ValueError:
        msg = "must be local, off, or a comma-separated list of networks such as 10.0.0.0/8"
        raise ValueError(msg) from None


def media_types(value: str) -> tuple[str, ...] | None:
    """Read a list of media types; empty is all of them."""
    types = tuple(one.strip().lower() for one in value.split(",") if one.strip())
    if not all(MEDIA_TYPE.fullmatch(one) for one in types):
        msg = "must be media types, such as image/png or image/*, with commas between them"
        raise ValueError(msg)
    return types or None


def patterns(value: str) -> tuple[str, ...] | None:
    """Read a list of patterns; empty is all names."""
    return tuple(one.strip() for one in value.split(",") if one.strip()) or None


def address(value: str) -> tuple[str, int] | None:
    """Read an address with a port; empty is None."""
    if not value:
        return None
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not HOST.fullmatch(host) or not (port.isascii() and port.isdigit() and 0 < int(port) <= MOST_PORT):
        msg = "must be an address and a port, such as 127.0.0.1:9808"
        raise ValueError(msg)
    return host, int(port)


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of these words."""

    def read(value: str) -> str:
        if value.lower() not in choices:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg)
        return value.lower()

    return read
