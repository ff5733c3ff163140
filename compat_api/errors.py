"""What is refused, the one table from what the engine says to what a client of the old API reads, and who answers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from compat_api.envelopes import failure
from compat_api.forms import BrokenForm
from tusfm.domain import errors
from tusfm.protocol.answers import challenge

NOT_BEGUN = "File directory not found. Please initialize first!"
NOT_FOUND = "Not found!"
DENIED = "Permision denied"
UPLOADED = "File uploaded previously!"
UPLOADING = "File is uploading!"
BROKEN_FORM = "There was an error parsing the body"
UNAUTHENTICATED = "A valid token is needed!"
OVER_QUOTA = "There is no room for so many bytes!"
CROWDED = "There are too many uploads; please try again in a moment."
AWAY = "Something that the server needs is away; please try again in a moment."
FAILED = "Something went wrong in the server; please try again."
BAD_REQUEST, SERVER_ERROR = 400, 500
RETRY_SECONDS = 5
DRAIN_SECONDS = 1
CROWD_SECONDS = 60

log = logging.getLogger(__name__)


class Rejected(Exception):
    """The request is refused: a status, and a message or the errors of its form."""

    def __init__(self, status: int, message: str = "", told: Sequence[str] = ()) -> None:
        """Take the answer."""
        super().__init__(message or "; ".join(told))
        self.status = status
        self.message = message
        self.told = told


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a message, and the seconds after which trying again makes sense."""

    status: int
    message: str
    retry_after: int | None = None


ANSWERS: dict[type[errors.TusfmError], Answer] = {
    errors.NotFound: Answer(404, NOT_FOUND),
    errors.AlreadyFinished: Answer(400, UPLOADED),
    errors.StillFinishing: Answer(400, UPLOADING),
    errors.Unauthenticated: Answer(401, UNAUTHENTICATED),
    errors.OwnerFull: Answer(413, OVER_QUOTA),
    errors.DeploymentFull: Answer(507, OVER_QUOTA, CROWD_SECONDS),
    errors.OverQuota: Answer(429, CROWDED, CROWD_SECONDS),
    errors.Unavailable: Answer(503, AWAY, RETRY_SECONDS),
    errors.Draining: Answer(503, AWAY, DRAIN_SECONDS),
}
"""Each stands for the errors below it too; what is not here is a mistake of ours, or ends the connection."""


def answer_to(error: errors.TusfmError) -> Answer:
    """Look an error up, or else what it is a kind of."""
    return next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), Answer(SERVER_ERROR, FAILED))


@web.middleware
async def enveloping(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put whatever is refused into the envelope; a connection on which nobody reads is left to the outer middleware."""
    try:
        return await handler(request)
    except BrokenForm:
        return failure(BAD_REQUEST, BROKEN_FORM)
    except Rejected as rejected:
        return failure(rejected.status, rejected.message, rejected.told)
    except web.HTTPException as error:
        return _unrouted(error)
    except (errors.Fenced, errors.BodyBroken, ConnectionError):
        raise
    except errors.TusfmError as error:
        return _answer(request, error)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return failure(SERVER_ERROR, FAILED)


def _answer(request: web.Request, error: errors.TusfmError) -> web.Response:
    answer = answer_to(error)
    if isinstance(error, errors.Unavailable):
        log.warning("%s %s: %s", request.method, request.path, error)
    elif answer.status == SERVER_ERROR:
        log.error("%s %s: %s", request.method, request.path, error)
    headers: dict[str, str] = {}
    if answer.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(answer.retry_after)
    if isinstance(error, errors.Unauthenticated):
        headers[hdrs.WWW_AUTHENTICATE] = challenge(error)
    return failure(answer.status, answer.message, headers=headers)


def _unrouted(error: web.HTTPException) -> web.Response:
    """Answer for what the router refuses."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return failure(error.status, error.reason, headers={hdrs.ALLOW: ",".join(sorted(error.allowed_methods))})
    return failure(error.status, error.reason)
