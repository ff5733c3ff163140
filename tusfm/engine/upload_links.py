"""Signed links to uploads: whoever has one may read one file, for a time."""

import base64
import hashlib
import hmac
import time

from tusfm.domain.errors import BadLink
from tusfm.ports.metadata import Metadata

MOST_DIGITS = 12  # of seconds since 1970


class UploadLinks:
    """Signs and checks links with the deployment's own secret, which every process reads from the database."""

    def __init__(self, metadata: Metadata) -> None:
        """Take where the secret is."""
        self._metadata = metadata
        self._secret: bytes | None = None

    async def sign(self, upload_id: str, expires_at: int) -> str:
        """Return the signature of a link to this file that is good until then, in seconds since 1970."""
        if self._secret is None:
            self._secret = await self._metadata.secret()
        said = f"read\n{upload_id}\n{expires_at}"
        signature = hmac.digest(self._secret, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(signature).decode().rstrip("=")

    async def check(self, upload_id: str, expires: str, signature: str) -> None:
        """Hold a link's query against what we sign. BadLink."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= MOST_DIGITS):
            raise BadLink
        right = await self.sign(upload_id, int(expires))
        if not hmac.compare_digest(right.encode(), signature.encode()) or int(expires) < time.time():
            raise BadLink
