"""Who a credential belongs to, and the rows of the keys that this deployment gives out."""

from dataclasses import dataclass
from typing import Protocol

from tusfm.domain.access import Grant


class Authenticator(Protocol):
    """Tells what a credential is good for."""

    async def grant(self, credential: str) -> Grant:
        """Return the owner and the limits. Unauthenticated; Unavailable when that cannot be found out just now.

        Nothing of the credential is logged, or stands in an error's text. The time that it takes does not depend on how
        much of a wrong secret is right.
        """

    async def run(self) -> None:
        """Work beside requests until it is cancelled; it fails for nothing that may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key as its row has it: *digest* is its secret's SHA-256 in hexadecimal; times are ms since 1970."""

    id: str
    grant: Grant
    digest: str
    made_at: int
    expires_at: int | None
    revoked_at: int | None
    seen_at: int

    @property
    def good(self) -> bool:
        """Whether it was neither revoked nor too old when the row was read."""
        return self.revoked_at is None and (self.expires_at is None or self.seen_at < self.expires_at)


class Keys(Protocol):
    """The rows of API keys. MetadataUnavailable as for ports.metadata."""

    async def add_key(self, key_id: str, digest: str, grant: Grant, expires_in: float | None) -> None:
        """Insert a key that is good for so many seconds; None: until it is revoked."""

    async def key(self, key_id: str) -> Key | None:
        """Read one row in one query."""

    async def keys(self) -> list[Key]:
        """Read all, the oldest first."""

    async def revoke_key(self, key_id: str) -> bool:
        """End a key from now on, in every process; False when there is no such key, or it was revoked before."""
