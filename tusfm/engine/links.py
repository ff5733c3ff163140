"""Links to files on a storage that serves nobody itself: they lead to this server, and private ones are signed.

The signature covers the path, the time until which the link is good, and the pairs of the credential that it shows.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from tusfm.domain.errors import BadLink, NotFound
from tusfm.domain.files import File, as_query, upload_of
from tusfm.ports.chunking import FileMetadata
from tusfm.ports.links import LINK_SECONDS

FOLDER = "/download/"
"""What the path of a link begins with, before `BUCKET/UPLOAD_ID.EXTENSION`."""
EXPIRES, SIGNATURE = "expires", "signature"


class OwnLinks:
    """Implements ports.links.Links."""

    def __init__(self, metadata: FileMetadata) -> None:
        """Take the database, which has the secret."""
        self._metadata = metadata
        self._secret: bytes | None = None

    async def link(self, file: File, base: str) -> str:
        """Return a URL of this server."""
        url = f"{base}{FOLDER}{quote(file.path)}"
        if file.public:
            return url
        pairs = as_query(file.credential or {}, {EXPIRES, SIGNATURE}.__contains__)
        query = {**pairs, EXPIRES: str(int(time.time()) + LINK_SECONDS)}
        query[SIGNATURE] = await self._sign(file.path, query)
        return f"{url}?{urlencode(query, errors='replace', quote_via=quote)}"

    async def opened(self, path: str, query: Mapping[str, str]) -> str:
        """Look the file up, and at the signature of a private one."""
        upload_id = upload_of(f"public/{path.partition('/')[2]}")
        file = None if upload_id is None else await self._metadata.file_of(upload_id)
        if file is None or file.path != path:
            raise NotFound
        if not file.public and not await self._valid(path, query):
            raise BadLink
        return file.upload_id

    async def _valid(self, path: str, query: Mapping[str, str]) -> bool:
        signed = {name: value for name, value in query.items() if name != SIGNATURE}
        until = signed.get(EXPIRES, "")
        if not (until.isascii() and until.isdecimal() and time.time() < int(until[:20])):
            return False
        said = query.get(SIGNATURE, "").encode("utf-8", "replace")
        return hmac.compare_digest(said, (await self._sign(path, signed)).encode())

    async def _sign(self, path: str, query: Mapping[str, str]) -> str:
        if self._secret is None:
            self._secret = await self._metadata.secret()
        said = f"{path}\n{urlencode(sorted(query.items()), errors='replace')}"
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()
