"""Who may do what with an upload over HTTP: a token, a signed link, or the URL alone."""

import contextlib
import re

from aiohttp import hdrs, web

from tusfm.domain.access import Grant
from tusfm.domain.errors import NotFound, Unauthenticated
from tusfm.domain.upload import State
from tusfm.engine.upload_links import UploadLinks
from tusfm.engine.uploads import Uploads
from tusfm.ports.access import Authenticator

BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]+)", re.ASCII)
EXPIRES, SIGNATURE = "expires", "signature"
"""The query of a signed link."""


class Access:
    """Lets requests in. Without an authenticator nobody is asked anything: an upload's URL is what opens it.

    *backend_creates*: whoever has an unfinished upload's URL may go on with it, whatever `Authorization` says; so a browser
    needs no token of its own, and one that expires costs no progress.
    """

    def __init__(
        self, authenticator: Authenticator | None, uploads: Uploads, links: UploadLinks, *, backend_creates: bool = True
    ) -> None:
        """Take who tells owners by their credentials, and who knows the uploads."""
        self._authenticator = authenticator
        self._uploads = uploads
        self._links = links
        self._backend_creates = backend_creates

    async def creator(self, request: web.Request) -> Grant | None:
        """Return what whoever asks may create; None where nobody is asked. Unauthenticated."""
        if self._authenticator is None:
            return None
        return await self._authenticator.grant(_credential(request))

    async def sender(self, request: web.Request, upload_id: str) -> None:
        """Let in who may ask for an upload's status, and send its bytes. Unauthenticated, NotFound."""
        if not self._backend_creates:
            await self.owner(request, upload_id)

    async def reader(self, request: web.Request, upload_id: str) -> None:
        """Let in who may read an upload: its owner, and whoever has a signed link. Unauthenticated, BadLink, NotFound."""
        query = request.query
        if self._authenticator is not None and SIGNATURE in query:
            await self._links.check(upload_id, query.get(EXPIRES, ""), query[SIGNATURE])
        else:
            await self.owner(request, upload_id)

    async def opened_by_url(self, upload_id: str) -> bool:
        """Tell whether the URL alone is enough to delete an upload just now: only while it receives."""
        if self._authenticator is None or not self._backend_creates:
            return False
        with contextlib.suppress(NotFound):
            return (await self._uploads.find(upload_id)).state is State.RECEIVING
        return False

    async def owner(self, request: web.Request, upload_id: str) -> None:
        """Let in an upload's owner; to all others there is no such upload. Unauthenticated, NotFound."""
        grant = await self.creator(request)
        if grant is not None and (await self._uploads.find(upload_id)).owner != grant.owner:
            raise NotFound


def _credential(request: web.Request) -> str:
    """Read the bearer token of a request (RFC 6750, 2.1). Unauthenticated."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not values:
        raise Unauthenticated
    found = BEARER.fullmatch(values[0].strip(" \t"))
    if found is None or len(values) > 1:
        msg = "Authorization must be 'Bearer TOKEN', once."
        raise Unauthenticated(msg, given=True)
    return found[1]
