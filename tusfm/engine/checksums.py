"""The checksum extension's algorithms, and the digest of one body."""

import asyncio
import hashlib
import hmac
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tusfm.domain.errors import ChecksumMismatch

INLINE_BYTES = 64 * 1024  # less is hashed sooner than a thread is reached


class Hasher(Protocol):
    """The part of hashlib's interface that is used here."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""


class Crc32:
    """CRC-32 as four bytes, big-endian (the order that tus clients send)."""

    def __init__(self) -> None:
        """Begin with the CRC of nothing."""
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """Return the CRC of all bytes so far."""
        return self._value.to_bytes(4, "big")


def _sha1() -> Hasher:
    return hashlib.sha1(usedforsecurity=False)


def _md5() -> Hasher:
    return hashlib.md5(usedforsecurity=False)


ALGORITHMS: dict[str, tuple[Callable[[], Hasher], int]] = {
    "sha1": (_sha1, 20),
    "sha256": (hashlib.sha256, 32),
    "sha512": (hashlib.sha512, 64),
    "md5": (_md5, 16),
    "crc32": (Crc32, 4),
}
"""By name: how to begin, and the bytes of a digest (rule K1)."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a client says that its body's digest is."""

    algorithm: str
    digest: bytes


class Verifier:
    """The digest of a body as it comes, held against the announced one."""

    def __init__(self, checksum: Checksum) -> None:
        """Begin with no bytes."""
        begin, _ = ALGORITHMS[checksum.algorithm]
        self._hasher = begin()
        self._expected = checksum.digest

    async def take(self, pieces: Sequence[bytes]) -> None:
        """Take more bytes: many in a thread, for hashlib gives the GIL away while it works."""
        if sum(map(len, pieces)) < INLINE_BYTES:
            self._update(pieces)
        else:
            await asyncio.get_running_loop().run_in_executor(None, self._update, pieces)

    def _update(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._hasher.update(piece)

    def check(self) -> None:
        """Raise ChecksumMismatch unless the bytes so far have the announced digest."""
        if not hmac.compare_digest(self._hasher.digest(), self._expected):
            msg = "The body's checksum is not the announced one."
            raise ChecksumMismatch(msg)
