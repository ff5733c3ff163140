"""The six endpoints: check, ask, answer."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from compat_api.envelopes import success
from compat_api.errors import DENIED, NOT_BEGUN, Rejected, enveloping
from compat_api.forms import Forms
from compat_api.schemas import UNPROCESSABLE, ChunkForm, CompletionForm, RetryForm, load
from tusfm.domain.errors import NotFound
from tusfm.domain.files import Completion, File
from tusfm.engine.chunks import Chunks
from tusfm.protocol.access import Access
from tusfm.protocol.web import UPLOAD, Public, RequestBody, preflight, unexpectant

BASE = "/api/v1/file"
FORBIDDEN = 403
STORED = "The chunk is uploaded successfully!"


class FileApi:
    """The old API on the engine."""

    def __init__(self, chunks: Chunks, public: Public, access: Access | None = None) -> None:
        """Take the engine, where clients see us, and who says whose requests are; None: nobody is asked."""
        self._chunks = chunks
        self._public = public
        self._access = access
        self._most = chunks.rules.chunk_size
        self._forms = Forms(chunks.rules.read_timeout, self._most)

    def add_to(self, app: web.Application) -> None:
        """Mount the endpoints; whatever else is asked for below them is answered in their manner too."""
        api = web.Application(middlewares=[enveloping])
        for method, path, handler in (
            (hdrs.METH_POST, "/upload/init", self.init),
            (hdrs.METH_POST, "/upload/chunk", self.chunk),
            (hdrs.METH_POST, "/upload/complete", self.complete),
            (hdrs.METH_POST, "/upload/retry", self.retry),
            (hdrs.METH_GET, "/get/{file_id:[^/]+}", self.get),
            (hdrs.METH_GET, "/status/{file_id:[^/]+}", self.status),
        ):
            for spelling in (path, path + "/"):
                resource = api.router.add_resource(spelling)
                resource.add_route(method, handler, expect_handler=unexpectant)
                resource.add_route(hdrs.METH_OPTIONS, preflight, expect_handler=unexpectant)
                if method == hdrs.METH_GET:
                    resource.add_route(hdrs.METH_HEAD, handler, expect_handler=unexpectant)
        app.add_subapp(BASE, api)

    async def init(self, request: web.Request) -> web.Response:
        """Begin an upload."""
        body = RequestBody(request)
        upload_id = request[UPLOAD] = await self._chunks.begin(await self._owner(request))
        await body.begin()
        return success({"chunk_size": self._most, "upload_id": upload_id})

    async def chunk(self, request: web.Request) -> web.Response:
        """Take one chunk; its bytes usually come before it is known whose they are."""
        owner = await self._owner(request)
        async with self._forms.reading(request, self._chunks.receive) as form:
            asked = load(ChunkForm(self._most), form)
            request[UPLOAD] = asked["upload_id"]
            try:
                await self._require(owner, asked["upload_id"])
                await asked["file"].place(asked["upload_id"], asked["chunk_index"])
            except NotFound as error:
                raise Rejected(UNPROCESSABLE, NOT_BEGUN) from error
        return success({"chunk_index": asked["chunk_index"], "upload_id": asked["upload_id"]}, STORED)

    async def complete(self, request: web.Request) -> web.Response:
        """Have the chunks made one file, behind the answer."""
        owner = await self._owner(request)
        async with self._forms.reading(request) as form:
            asked = load(CompletionForm(), form)
        request[UPLOAD] = asked["upload_id"]
        completion = Completion(
            upload_id=asked["upload_id"],
            chunks=asked["total_chunks"],
            size=asked["total_size"],
            extension=asked["file_extension"],
            content_type=asked["content_type"],
            credential=asked.get("credential"),
            detail=asked.get("detail"),
        )
        try:
            await self._require(owner, completion.upload_id)
            file = await self._chunks.complete(completion)
        except NotFound as error:
            raise Rejected(UNPROCESSABLE, NOT_BEGUN) from error
        return await self._shown(request, file)

    async def retry(self, request: web.Request) -> web.Response:
        """Have a FAILURE tried again."""
        owner = await self._owner(request)
        async with self._forms.reading(request) as form:
            asked = load(RetryForm(), form)
        file = await self._file(owner, asked["file_id"])
        request[UPLOAD] = file.upload_id
        _authorize(file, asked.get("credential") or {})
        return await self._shown(request, await self._chunks.retry(file.id))

    async def get(self, request: web.Request) -> web.Response:
        """Tell of a file, and where it can be read."""
        return await self._shown(request, await self._asked(request))

    async def status(self, request: web.Request) -> web.Response:
        """Tell how far a file is."""
        file = await self._asked(request)
        return success({"status": file.status.value})

    async def _owner(self, request: web.Request) -> str | None:
        """Say for whom a request is; None where nobody is asked. Unauthenticated."""
        grant = None if self._access is None else await self._access.creator(request)
        return None if grant is None else grant.owner

    async def _require(self, owner: str | None, upload_id: str) -> None:
        if owner is not None:
            await self._chunks.require_owner(upload_id, owner)

    async def _file(self, owner: str | None, file_id: str) -> File:
        """Find a file; to all but its owner there is none. NotFound."""
        file = await self._chunks.file(file_id)
        if owner is not None and file.owner != owner:
            raise NotFound
        return file

    async def _asked(self, request: web.Request) -> File:
        file = await self._file(await self._owner(request), request.match_info["file_id"])
        request[UPLOAD] = file.upload_id
        _authorize(file, dict(request.query.items()))
        return file

    async def _shown(self, request: web.Request, file: File) -> web.Response:
        return success(
            {
                "id": file.id,
                "path": file.path,
                "content_type": file.content_type,
                "detail": file.detail,
                "credential": file.credential,
                "download_url": await self._chunks.link(file, self._public.base(request)),
            }
        )


def _authorize(file: File, pairs: Mapping[str, str]) -> None:
    """See that a private file's credential was shown, no more and no fewer pairs. Rejected."""
    if not file.public and dict(file.credential or {}) != dict(pairs):
        raise Rejected(FORBIDDEN, DENIED)
