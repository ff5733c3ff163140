"""URLs at which files are read by whoever has them."""

from collections.abc import Mapping
from typing import Protocol

from tusfm.domain.files import File

LINK_SECONDS = 7 * 86400
"""How long the link of a private file is good for."""


class Links(Protocol):
    """Makes links to files, and knows those that lead to this server."""

    async def link(self, file: File, base: str) -> str:
        """Return a URL: of a public file for ever, of a private one for LINK_SECONDS, with its credential in the query.

        *base* is where clients see this server.
        """

    async def opened(self, path: str, query: Mapping[str, str]) -> str:
        """Return the upload that a link to this server leads to: *path* is the file's. NotFound; BadLink."""
