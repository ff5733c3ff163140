"""What all answers bear, errors too, and what becomes of what handlers raise."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from tusfm import logs
from tusfm.domain import errors
from tusfm.ports.watching import CUT
from tusfm.protocol.tus.errors import AWAY, STATUS, Answer, text
from tusfm.protocol.tus.headers import VERSION
from tusfm.protocol.tus.requirements import Refusal
from tusfm.protocol.web import Origins

HTTP_LOCKED = 423
HTTP_SERVER_ERROR = 500
PREFLIGHT_SECONDS = 86400
METHODS = "POST,GET,HEAD,PATCH,DELETE,OPTIONS"
REQUEST_HEADERS = ",".join(
    (
        "Authorization,Content-Type,If-None-Match,If-Range,Origin,Range,Tus-Resumable",
        "Upload-Checksum,Upload-Concat,Upload-Defer-Length,Upload-Length,Upload-Metadata,Upload-Offset",
        "X-HTTP-Method-Override,X-Request-ID,X-Requested-With",
    ),
)
EXPOSED = ",".join(
    (
        "Accept-Ranges,Content-Range,ETag,Location,Retry-After,Tus-Checksum-Algorithm,Tus-Extension,Tus-Max-Size",
        "Tus-Resumable,Tus-Version,Upload-Concat,Upload-Defer-Length,Upload-Expires,Upload-Length,Upload-Metadata",
        "Upload-Offset,WWW-Authenticate,X-Request-ID",
    ),
)

log = logging.getLogger(__name__)


def common_headers(origins: Origins, origin: str | None) -> dict[str, str]:
    """Return the headers that every answer has, whoever asks (rules G1 and H2, and CORS)."""
    cors = dict(origins.headers(origin))
    if "Access-Control-Allow-Origin" in cors:
        cors["Access-Control-Expose-Headers"] = EXPOSED
    return {"Tus-Resumable": VERSION, "Server": "tusfm", "X-Content-Type-Options": "nosniff", **cors}


def preflight_headers(request: web.Request) -> dict[str, str]:
    """Return what a browser wants to know before it asks."""
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
        return {}
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: REQUEST_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
    }


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stand between handlers and the outside: whatever a handler raises becomes an answer, or ends one that has begun."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001  nothing may reach a client but an answer
        if request.writer.output_size or isinstance(error, ConnectionError):
            return _cut(request, error)
        return _answer_to(request, error)


def _answer_to(request: web.Request, raised: Exception) -> web.Response:
    try:
        raise raised
    except Refusal as refusal:
        return sentence(refusal.status, refusal.text, refusal.headers)
    except (errors.Fenced, errors.BodyBroken) as error:
        return _cut(request, error)
    except errors.TusfmError as error:
        return _answer(request, error)
    except web.HTTPException as error:
        return _unrouted(error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return sentence(HTTP_SERVER_ERROR, "Something went wrong in the server; please try again.", {})


def dress(origins: Origins) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Make the signal handler that puts the common headers on every answer before it goes."""

    async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
        allowed = common_headers(origins, request.headers.get(hdrs.ORIGIN))
        for name, value in allowed.items():
            response.headers.setdefault(name, value)
        if request.method == hdrs.METH_OPTIONS and "Access-Control-Allow-Origin" in allowed:
            response.headers.update(preflight_headers(request))
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        response.headers[hdrs.SERVER] = "tusfm"
        request_id = logs.REQUEST.get()
        if request_id is not None:
            response.headers["X-Request-ID"] = request_id
        if request.headers.get(hdrs.TRANSFER_ENCODING) or not request.content.is_eof():
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()  # trailers, and bodies that nobody read, do not mix with the next request

    return on_prepare


def sentence(status: int, said: str, extra: Mapping[str, str], reason: str | None = None) -> web.Response:
    """Answer with one sentence of plain text (rule G13)."""
    return web.Response(status=status, reason=reason, text=said + "\n", headers=extra)


def _answer(request: web.Request, error: errors.TusfmError) -> web.Response:
    answer = STATUS.get(type(error), Answer(HTTP_SERVER_ERROR))
    extra: dict[str, str] = {}
    if answer.retry_after is not None:
        extra[hdrs.RETRY_AFTER] = str(answer.retry_after)
    if isinstance(error, errors.TooManyUploads):
        extra[hdrs.RETRY_AFTER] = str(error.seconds)
    if isinstance(error, errors.OffsetConflict):
        extra["Upload-Offset"] = str(error.offset)
    if isinstance(error, errors.Unauthenticated):
        extra[hdrs.WWW_AUTHENTICATE] = challenge(error)
    status = answer.status
    if isinstance(error, errors.Unavailable):
        log.warning("%s %s: %s", request.method, request.path, error)
        if request.method == hdrs.METH_HEAD:
            status = HTTP_LOCKED  # clients begin again from byte 0 after a 5xx (rule H7)
    return sentence(status, text(error), extra, answer.reason)


def challenge(error: errors.Unauthenticated) -> str:
    """Say how to authenticate, and what was wrong with the token if there was one (RFC 6750, 3)."""
    said = f', error="invalid_token", error_description="{error}"' if error.given else ""
    return f'Bearer realm="tusfm"{said}'


def _cut(request: web.Request, error: Exception) -> web.Response:
    """End the connection without an answer: every client resumes after a cut, and few after a 4xx."""
    log.debug("%s %s: %s", request.method, request.path, error)
    if request.transport is not None:
        request.transport.abort()
    return sentence(CUT, AWAY, {})


def _unrouted(error: web.HTTPException) -> web.Response:
    """Answer for what the router refuses."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ",".join(sorted(error.allowed_methods))
        return sentence(error.status, f"This URL understands {allow}.", {hdrs.ALLOW: allow})
    if error.status == web.HTTPNotFound.status_code:
        return sentence(error.status, "There is nothing here.", {})
    return sentence(error.status, f"{error.reason}.", {})
