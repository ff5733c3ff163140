"""The verbs of tus, and the download of a finished upload: check, ask, answer."""

import contextlib
from collections.abc import Mapping

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from tusfm.domain.errors import NotFound
from tusfm.domain.upload import Role, State, Upload, is_id
from tusfm.engine.appending import Append, Progress
from tusfm.engine.body import opening
from tusfm.engine.checksums import ALGORITHMS
from tusfm.engine.creating import Creation
from tusfm.engine.rules import Rules
from tusfm.engine.uploads import Uploads
from tusfm.protocol import download
from tusfm.protocol.access import Access
from tusfm.protocol.tus import headers, requirements
from tusfm.protocol.tus.requirements import Asked, Refusal, check
from tusfm.protocol.web import Public, RequestBody, unexpectant

COLLECTION = "/files"


def extensions(rules: Rules) -> str:
    """Name the extensions that this deployment has; no blanks, for some clients split at the comma alone."""
    names = [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "termination",
        "concatenation",
        "concatenation-unfinished",
    ]
    if rules.expire_after is not None:
        names.append("expiration")
    return ",".join(names)


class Tus:
    """The endpoint: the collection that creates, and one resource for each upload."""

    def __init__(self, uploads: Uploads, public: Public, access: Access) -> None:
        """Take the engine, where clients see us, and who may do what."""
        self._uploads = uploads
        self._public = public
        self._access = access
        self._collection: Mapping[str, Handler] = {hdrs.METH_POST: self.create, hdrs.METH_OPTIONS: self.options}
        self._upload: Mapping[str, Handler] = {
            hdrs.METH_GET: self.get,
            hdrs.METH_HEAD: self.head,
            hdrs.METH_PATCH: self.patch,
            hdrs.METH_DELETE: self.delete,
            hdrs.METH_OPTIONS: self.options,
        }

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Register the endpoint; methods are told apart here, for the override must be able to replace them (rule G8)."""
        for path, handler in (
            (COLLECTION, self.collection),
            (COLLECTION + "/", self.collection),
            (COLLECTION + "/{id}", self.upload),
        ):
            router.add_route("*", path, handler, expect_handler=unexpectant)

    async def collection(self, request: web.Request) -> web.StreamResponse:
        """Answer for the endpoint itself."""
        return await _dispatch(self._collection, request)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Answer for one upload; an id of another shape is nobody's (rule G12)."""
        if not is_id(request.match_info["id"]):
            raise Refusal(404, "There is no such upload.")
        return await _dispatch(self._upload, request)

    async def options(self, _: web.Request) -> web.Response:
        """Say what the server can do (rules G4 to G7)."""
        rules = self._uploads.rules
        said = {
            "Tus-Version": headers.VERSION,
            "Tus-Extension": extensions(rules),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }
        if rules.max_size is not None:
            said["Tus-Max-Size"] = str(rules.max_size)
        return web.Response(status=204, headers=said)

    async def create(self, request: web.Request) -> web.Response:
        """Make an upload, or a final one out of partials (rules CR, D, W, N)."""
        body = RequestBody(request)
        asked = self._asked(request, body.size)
        check(requirements.CREATE_ANY, asked)
        await _see_whether_empty(asked, body)
        if asked.concat is not None and asked.concat.partials is not None:
            return await self._create_final(request, asked, asked.concat.partials)
        check(requirements.CREATE, asked)
        progress = await self._uploads.create(
            Creation(
                length=asked.length,
                metadata=asked.metadata,
                role=Role.WHOLE if asked.concat is None else Role.PARTIAL,
                concat=request.headers.get("Upload-Concat"),
                checksum=asked.checksum,
                body=body if asked.has_body else None,
                grant=await self._access.creator(request),
            ),
        )
        await body.begin()
        return self._created(request, progress)

    async def _create_final(self, request: web.Request, asked: Asked, partials: tuple[str, ...]) -> web.Response:
        check(requirements.CREATE_FINAL, asked)
        creation = Creation(
            length=None,
            metadata=asked.metadata,
            role=Role.FINAL,
            concat=request.headers["Upload-Concat"],
            grant=await self._access.creator(request),
        )
        progress = await self._uploads.concatenate(creation, partials)
        response = self._created(request, progress)
        del response.headers["Upload-Offset"]
        return response

    def _created(self, request: web.Request, progress: Progress) -> web.Response:
        location = f"{self._public.base(request)}{COLLECTION}/{progress.id}"
        return web.Response(status=201, headers={hdrs.LOCATION: location, **_standing(progress)})

    async def head(self, request: web.Request) -> web.Response:
        """Tell where an upload stands (rules H, N10)."""
        check(requirements.PLAIN, self._asked(request, 0))
        await self._access.sender(request, request.match_info["id"])
        return web.Response(headers=_status(await self._uploads.status(request.match_info["id"])))

    async def patch(self, request: web.Request) -> web.Response:
        """Take bytes (rules P, D, K)."""
        body = RequestBody(request)
        asked = self._asked(request, body.size)
        check(requirements.APPEND, asked)
        assert asked.offset is not None
        await self._access.sender(request, request.match_info["id"])
        progress = await self._uploads.append(
            Append(
                id=request.match_info["id"],
                offset=asked.offset,
                length=asked.length,
                checksum=asked.checksum,
                body=body,
            ),
        )
        await body.begin()
        return web.Response(status=204, headers=_standing(progress))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an upload (rules X)."""
        check(requirements.PLAIN, self._asked(request, 0))
        upload_id = request.match_info["id"]
        if await self._access.opened_by_url(upload_id):
            with contextlib.suppress(NotFound):  # gone, or finished in this very moment
                await self._uploads.terminate(upload_id, finished=False)
                return web.Response(status=204)
        await self._access.owner(request, upload_id)
        await self._uploads.terminate(upload_id)
        return web.Response(status=204)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Send a finished upload."""
        check(requirements.DOWNLOAD, self._asked(request, 0))
        await self._access.reader(request, request.match_info["id"])
        return await download.send(request, await self._uploads.open(request.match_info["id"]))

    def _asked(self, request: web.Request, size: int | None) -> Asked:
        return Asked(request.headers, size, self._uploads.rules, COLLECTION + "/")


async def _dispatch(handlers: Mapping[str, Handler], request: web.Request) -> web.StreamResponse:
    method = request.method
    if method == hdrs.METH_POST:
        method = request.headers.get("X-HTTP-Method-Override", method).strip().upper()
    handler = handlers.get(method)
    if handler is None:
        allow = ",".join(sorted(handlers))
        raise Refusal(405, f"This URL understands {allow}.", {hdrs.ALLOW: allow})
    return await handler(request)


async def _see_whether_empty(asked: Asked, body: RequestBody) -> None:
    """A chunked body may turn out to have no bytes, and then its type means nothing (rule W2)."""
    final = asked.concat is not None and asked.concat.final
    kind = asked.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    unlooked = body.size is None and (final or kind != requirements.OFFSET_OCTETS)
    if unlooked and not await opening(body, asked.rules.read_timeout):
        asked.size = body.size = 0


def _standing(progress: Progress) -> dict[str, str]:
    """Write what POST and PATCH say of an upload (rules CR2, P4, E1)."""
    said = {"Upload-Offset": str(progress.offset)}
    if progress.expires_at is not None:
        said["Upload-Expires"] = headers.expires(progress.expires_at)
    return said


def _status(upload: Upload) -> dict[str, str]:
    """Write what HEAD says of an upload (rules H1 to H6, N2, N10)."""
    final = upload.role is Role.FINAL
    said: dict[str, str] = {}
    if not final or upload.state is State.AVAILABLE:
        said["Upload-Offset"] = str(upload.offset)
    if upload.length is not None:
        said["Upload-Length"] = str(upload.length)
    elif not final:
        said["Upload-Defer-Length"] = "1"
    if upload.metadata:
        said["Upload-Metadata"] = upload.metadata
    if upload.concat is not None:
        said["Upload-Concat"] = upload.concat
    if upload.expires_at is not None and upload.state is State.RECEIVING:
        said["Upload-Expires"] = headers.expires(upload.expires_at)
    return said
