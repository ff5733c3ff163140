"""Files at this server's own links: `/download/BUCKET/UPLOAD_ID.EXTENSION` (a storage of S3's kind serves its own).

A public file is anyone's; the query of a private one is signed, and good for 7 days.
"""

from aiohttp import hdrs, web

from tusfm.engine.chunks import Chunks
from tusfm.engine.links import FOLDER
from tusfm.protocol.download import send
from tusfm.protocol.web import preflight


def add_downloads(app: web.Application, chunks: Chunks) -> None:
    """Answer GET, HEAD and preflights under the links' path."""

    async def download(request: web.Request) -> web.StreamResponse:
        path = f"{request.match_info['bucket']}/{request.match_info['name']}"
        return await send(request, await chunks.open(path, request.query))

    links = app.router.add_resource(f"{FOLDER}{{bucket}}/{{name}}")
    for method, handler in ((hdrs.METH_GET, download), (hdrs.METH_HEAD, download), (hdrs.METH_OPTIONS, preflight)):
        links.add_route(method, handler)
