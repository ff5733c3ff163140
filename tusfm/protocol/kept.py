"""Files at this server's own links: `/download/BUCKET/UPLOAD_ID.EXTENSION` (a storage of S3's kind serves its own).

A public file is anyone's; the query of a private one is signed, and good for 7 days.
"""

from aiohttp import web

from tusfm.engine.chunks import Chunks
from tusfm.engine.links import FOLDER
from tusfm.protocol.download import send


def add_downloads(app: web.Application, chunks: Chunks) -> None:
    """Answer GET under the links' path."""

    async def download(request: web.Request) -> web.StreamResponse:
        path = f"{request.match_info['bucket']}/{request.match_info['name']}"
        return await send(request, await chunks.open(path, request.query))

    app.router.add_get(f"{FOLDER}{{bucket}}/{{name}}", download, allow_head=False)
