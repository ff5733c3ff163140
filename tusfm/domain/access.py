"""Who asks, and what they may do: values that an authenticator gives and the engine keeps to."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from tusfm.domain.upload import MAX_SIZE

MOST_OWNER_CHARACTERS = 255  # what its column holds
MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/([A-Za-z0-9!#$&^_.+-]{1,127}|\*)", re.ASCII)
LEAST_LIFETIME_SECONDS = 60.0  # running requests put expiry off every 30
MOST_LIFETIME_SECONDS = 100 * 365 * 86400.0  # longer ends behind the last year that can be written


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a credential is good for: uploads of one owner, within limits that narrow the deployment's own.

    *max_size* in bytes; *types* are media types as `file_type_fits` reads them; *lifetime* is the seconds after its last
    byte for which an unfinished upload lives. None: no limit of its own.
    """

    owner: str
    max_size: int | None = None
    types: tuple[str, ...] | None = None
    lifetime: float | None = None


def limited(owner: str, limits: Mapping[str, object]) -> Grant:
    """Make a grant of limits as a token or a command names them: `max_size`, `types`, `expire_after`.

    ValueError when there is one that cannot be read, or that nobody knows: a slip must not make a limit none.
    """
    grant = Grant(owner=owner)
    for name, value in limits.items():
        if name == "max_size" and _is_number(value) and isinstance(value, int) and value > 0:
            grant = replace(grant, max_size=value)
        elif name == "expire_after" and _is_number(value) and LEAST_LIFETIME_SECONDS <= value <= MOST_LIFETIME_SECONDS:
            grant = replace(grant, lifetime=float(value))
        elif name == "types" and isinstance(value, list | tuple) and value and all(map(_is_type, value)):
            grant = replace(grant, types=tuple(one.lower() for one in value))
        else:
            msg = f"{name} is no limit, or cannot be read"
            raise ValueError(msg)
    return grant


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= MAX_SIZE


def _is_type(value: object) -> bool:
    return isinstance(value, str) and MEDIA_TYPE.fullmatch(value) is not None


def is_owner(name: object) -> bool:
    """Tell whether a name can be an owner's: text that a database compares as it stands, so no blanks at its ends."""
    if not isinstance(name, str) or not 0 < len(name) <= MOST_OWNER_CHARACTERS:
        return False
    return name.isprintable() and name == name.strip()


def file_type_fits(allowed: Sequence[str] | None, kind: str | None) -> bool:
    """Tell whether a file of this type is allowed: by its media type without parameters, or by a group such as `image/*`.

    Where only some types are allowed, a file that names none is not.
    """
    if allowed is None:
        return True
    plain = (kind or "").partition(";")[0].strip().lower()
    group, slash, _ = plain.partition("/")
    return plain in allowed or (bool(slash) and f"{group}/*" in allowed)


def file_name_fits(allowed: Sequence[str] | None, name: str | None) -> bool:
    """Tell whether a file of this name is allowed: by patterns such as `*.jpg`, blind to letter case."""
    if allowed is None:
        return True
    return name is not None and any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in allowed)
