"""API keys: random secrets of which the database has the hash."""

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from tusfm.domain.access import Grant
from tusfm.domain.errors import Unauthenticated
from tusfm.ports.access import Keys

SHAPE = re.compile(r"tusfm_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: *text* is shown to its owner once, *digest* is what the row has."""

    id: str
    text: str
    digest: str


def new_key() -> NewKey:
    """Make a key of 256 random bits. So many need no slow hash: nobody can try them out."""
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    return NewKey(key_id, f"tusfm_{key_id}_{secret}", digest(secret))


def digest(secret: str) -> str:
    """Hash a secret as its row has it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyAuthenticator:
    """Implements ports.access.Authenticator. The row is read each time: a key that was revoked ends at once, everywhere."""

    def __init__(self, keys: Keys) -> None:
        """Take the rows."""
        self._keys = keys

    async def grant(self, credential: str) -> Grant:
        """Find the key's row, and hold its secret against the hash."""
        parts = SHAPE.fullmatch(credential)
        key = None if parts is None else await self._keys.key(parts[1])
        if parts is None or key is None or not hmac.compare_digest(digest(parts[2]), key.digest) or not key.good:
            msg = "The key is not valid, or not any more."
            raise Unauthenticated(msg, given=True)
        return key.grant

    async def run(self) -> None:
        """Wait: there is nothing to do."""
        await asyncio.Event().wait()
