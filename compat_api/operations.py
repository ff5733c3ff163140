"""The six endpoints, as the documentation shows them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import Schema, fields

from compat_api import errors
from compat_api.router import BASE, STORED
from compat_api.schemas import ChunkForm, CompletionForm, FormFile, FormSchema, RetryForm
from tusfm.domain.files import FileStatus
from tusfm.protocol.documentation import Operation

UPLOADING, ASKING = "upload in chunks", "files"
GROUPS = {
    UPLOADING: "The older service's way to upload: begin, send chunks in any order, complete. Every answer is JSON in one "
    "of two envelopes, and each URL is the same with a slash at its end and without.",
    ASKING: "What became of a file that was uploaded in chunks. A private one is asked for with its credential as the query.",
}
FORMS = ["multipart/form-data", "application/x-www-form-urlencoded"]
UPLOAD_ID = "2f1a1e0c-96f2-4a45-a2cf-6a6d0b1f3a57"
FILE_ID = "8c0d5ad1-4c6a-4f07-9f39-0d8dd6b3a2b4"
FILE = {
    "id": FILE_ID,
    "path": f"public/{UPLOAD_ID}.txt",
    "content_type": "text/plain",
    "detail": {"title": "Minutes"},
    "credential": None,
    "download_url": f"http://127.0.0.1:9000/public/{UPLOAD_ID}.txt",
}
PRIVATE = "For a private file the query has to be its credential: each pair, and no other. A public one takes any query."
FILE_ID_IN_PATH = {
    "in": "path",
    "name": "file_id",
    "required": True,
    "type": "string",
    "description": "The `id` that `complete` answered, in any letter case.",
}
CREDENTIAL_IN_QUERY = {
    "in": "query",
    "name": "user_id",
    "type": "string",
    "description": "A pair of the credential, here one whose name is `user_id`.",
}


class Begun(Schema):
    """What `init` answers."""

    chunk_size = fields.Integer(metadata={"description": "Bytes that a chunk may have."})
    upload_id = fields.String(metadata={"description": "Names the upload to `chunk` and `complete`."})


class Stored(Schema):
    """What `chunk` answers."""

    chunk_index = fields.Integer(metadata={"description": "As it was sent."})
    upload_id = fields.String(metadata={"description": "As it was sent."})


class FileShown(Schema):
    """What is known of a file."""

    id = fields.String(metadata={"description": "Names the file to `get`, `status` and `retry`; it is not the upload's."})
    path = fields.String(metadata={"description": "`BUCKET/UPLOAD_ID.EXTENSION`."})
    content_type = fields.String(metadata={"description": "As it was given."})
    detail = fields.Dict(allow_none=True, metadata={"description": "As it was given, its values as texts; or null."})
    credential = fields.Dict(
        allow_none=True, metadata={"description": "The same; without one, or with an empty one, the file is public."}
    )
    download_url = fields.String(metadata={"description": "Where the file can be read; a private one for 7 days."})


class Standing(Schema):
    """What `status` answers."""

    status = fields.String(
        metadata={
            "description": "Queued, taken by a worker, done, or failed.",
            "enum": [status.value for status in FileStatus],
        }
    )


@cache
def _enveloped(data: type[Schema]) -> Schema:
    named = {"data": fields.Nested(data), "message": fields.String(), "success": fields.Boolean()}
    return Schema.from_dict(named, name=f"{data.__name__}Answer")()


class Failure(Schema):
    """The envelope of everything that is refused."""

    errors = fields.List(fields.String(), metadata={"description": "What is wrong with the form, `[body->NAME] …` each."})
    message = fields.String(metadata={"description": "What else is wrong; empty when `errors` is not."})
    success = fields.Boolean()


def _success(schema: type[Schema], data: Mapping[str, Any], message: str = "") -> dict[str, Any]:
    return _answer("Done.", _enveloped(schema), {"data": data, "message": message, "success": True})


def _failure(about: str, message: str = "", *told: str) -> dict[str, Any]:
    return _answer(about, Failure(), {"errors": list(told), "message": message, "success": False})


def _answer(about: str, schema: Schema, envelope: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": about, "schema": schema, "examples": {"application/json": envelope}}


def _fields(about: str, example: str) -> dict[str, Any]:
    return _failure(f"{about} All that is wrong with the fields is told at once, with an empty message.", "", example)


BROKEN = _failure("The body is not the form that it says it is.", errors.BROKEN_FORM)
AWAY = _failure("The storage or the database is away; `Retry-After` says when to try again.", errors.AWAY)
DENIED = _failure("The file is private, and the credential is missing or another one.", errors.DENIED)
UNKNOWN = _failure("There is no such file.", errors.NOT_FOUND)
NEVER_BEGUN = f"An `upload_id` that was never begun has the message `{errors.NOT_BEGUN}`, and no errors."


def operations(most: int) -> tuple[Operation, ...]:
    """List them; *most* is how many bytes a chunk may have."""
    return (_init(most), _chunk(most), _complete(), _get(), _status(), _retry())


def _post(path: str, form: FormSchema | None, summary: str, description: str, answers: Mapping[int, Any]) -> Operation:
    said = {"tags": [UPLOADING], "summary": summary, "description": description, "responses": dict(answers)}
    if form is not None:
        files = any(isinstance(field, FormFile) for field in form.fields.values())
        said["consumes"] = FORMS[:1] if files else FORMS
    return Operation(method="POST", path=BASE + path, described=said, form=form)


def _read(path: str, summary: str, description: str, answer: Mapping[str, Any]) -> Operation:
    said = {
        "tags": [ASKING],
        "summary": summary,
        "description": f"{description} {PRIVATE}",
        "parameters": [FILE_ID_IN_PATH, CREDENTIAL_IN_QUERY],
        "responses": {200: answer, 403: DENIED, 404: UNKNOWN, 503: AWAY},
    }
    return Operation(method="GET", path=BASE + path, described=said)


def _init(most: int) -> Operation:
    answers = {200: _success(Begun, {"chunk_size": most, "upload_id": UPLOAD_ID}), 503: AWAY}
    return _post("/upload/init/", None, "Begin an upload", "No fields, and no body.", answers)


def _chunk(most: int) -> Operation:
    about = (
        "In any order, several at once, of any size up to the limit; the same index sent again replaces what was there. "
        "The fields come in any order too."
    )
    refused = f"[body->chunk_size] input should be less than or equal to {most}"
    return _post(
        "/upload/chunk/",
        ChunkForm(most),
        "Send a chunk",
        about,
        {
            200: _success(Stored, {"chunk_index": 0, "upload_id": UPLOAD_ID}, STORED),
            400: BROKEN,
            422: _fields(f"A field is missing or wrong, or the chunk is too large. {NEVER_BEGUN}", refused),
            503: AWAY,
        },
    )


def _complete() -> Operation:
    about = (
        "The file is made of the chunks 0 to `total_chunks` - 1 behind this answer; `status` tells when it is done. "
        "The same upload again gives the same file."
    )
    refused = "[body->credential] invalid json format for credential"
    return _post(
        "/upload/complete/",
        CompletionForm(),
        "Complete an upload",
        about,
        {
            200: _success(FileShown, FILE),
            400: BROKEN,
            422: _fields(f"A field is missing or wrong. {NEVER_BEGUN}", refused),
            503: AWAY,
        },
    )


def _retry() -> Operation:
    uploaded = f"The file is not a FAILURE: it is done, or (`{errors.UPLOADING}`) being worked on. Or the form is broken."
    return _post(
        "/upload/retry",
        RetryForm(),
        "Try a failed file again",
        "After the missing chunks were sent. The file keeps its id, and is PENDING at once.",
        {
            200: _success(FileShown, FILE),
            400: _failure(uploaded, errors.UPLOADED),
            403: DENIED,
            404: UNKNOWN,
            422: _fields("A field is missing or wrong.", "[body->file_id] field required"),
            503: AWAY,
        },
    )


def _get() -> Operation:
    return _read("/get/{file_id}", "Get a file", "What is known of it, and where it can be read.", _success(FileShown, FILE))


def _status() -> Operation:
    about = "PENDING, STARTED, SUCCESS or FAILURE."
    return _read("/status/{file_id}", "Ask how far a file is", about, _success(Standing, {"status": "SUCCESS"}))
