"""The endpoints of tus, as the documentation shows them."""

from typing import Any

from tusfm.protocol.documentation import Operation
from tusfm.protocol.tus.requirements import OFFSET_OCTETS

GROUP = "tus"
ABOUT = (
    "Resumable uploads by [tus 1.0.0](https://tus.io/protocols/resumable-upload), at `/files/`, for any tus client. "
    "Errors are one sentence of plain text."
)
UPLOAD = "/files/{id}"


def _header(name: str, about: str, *, required: bool = False, example: object = None, kind: str = "string") -> dict[str, Any]:
    said: dict[str, Any] = {"in": "header", "name": name, "description": about, "type": kind, "required": required}
    return said if example is None else {**said, "x-example": example}


VERSION = _header("Tus-Resumable", "The version of the protocol.", required=True, example="1.0.0")
AUTHORIZATION = _header("Authorization", "`Bearer TOKEN`, where the server asks who you are.")
CHECKSUM = _header(
    "Upload-Checksum",
    "Algorithm (sha1, sha256, sha512, md5, crc32) and digest in base64; when it differs, nothing of this body counts.",
)
BODY = {"in": "body", "name": "bytes", "description": "The bytes.", "schema": {"type": "string", "format": "binary"}}
ID = {
    "in": "path",
    "name": "id",
    "required": True,
    "type": "string",
    "description": "The last part of the `Location` that the creation answered.",
}
OFFSET = {"Upload-Offset": {"type": "integer", "description": "How many bytes of the upload are durable."}}
EXPIRES = {"Upload-Expires": {"type": "string", "description": "When the upload ends unless more bytes come."}}
GONE = {"description": "There is no such upload, or not any more."}
STRANGER = {"description": "The server asks who you are, and the token is missing or not good here."}
WRONG_VERSION = {"description": "Another `Tus-Resumable`, or none."}
AWAY = {"description": "The storage or the database is away; `Retry-After` says when to try again."}


def _operation(method: str, path: str, summary: str, description: str, **said: Any) -> Operation:  # noqa: ANN401  see docs

    described = {"tags": [GROUP], "produces": ["text/plain"], "summary": summary, "description": description, **said}
    return Operation(method=method, path=path, described=described)


OPERATIONS = (
    _operation(
        "POST",
        "/files/",
        "Create an upload",
        "With its length, or with `Upload-Defer-Length: 1` when that is not known yet; with its first bytes, or without. "
        "`Upload-Concat` makes it a part of another upload, or the whole of several.",
        consumes=[OFFSET_OCTETS],
        parameters=[
            VERSION,
            AUTHORIZATION,
            _header("Upload-Length", "Bytes of the whole upload.", kind="integer", example=5),
            _header("Upload-Defer-Length", "`1`, in the place of a length."),
            _header(
                "Upload-Metadata",
                "Pairs of a key and a value in base64, with commas between them; `filename` and `filetype` are used by "
                "downloads.",
                example="filename aGVsbG8udHh0,filetype dGV4dC9wbGFpbg==",
            ),
            _header("Upload-Concat", "`partial`, or `final;` and the URLs of partial uploads."),
            CHECKSUM,
            BODY,
        ],
        responses={
            201: {
                "description": "Created.",
                "headers": {"Location": {"type": "string", "description": "The upload's URL."}, **OFFSET, **EXPIRES},
            },
            400: {"description": "A header is missing, malformed, or contradicts another."},
            401: STRANGER,
            403: {"description": "A body came with a final upload."},
            412: WRONG_VERSION,
            413: {"description": "More bytes than the server, or the length, allows."},
            415: {"description": f"The body's type is not `{OFFSET_OCTETS}`."},
            460: {"description": "The bytes are not those of the checksum; nothing was created."},
            503: AWAY,
        },
    ),
    _operation(
        "OPTIONS",
        "/files/",
        "Ask what the server can do",
        "Needs no headers.",
        produces=[],
        responses={
            204: {
                "description": "Said in headers.",
                "headers": {
                    "Tus-Version": {"type": "string", "description": "Versions of the protocol."},
                    "Tus-Extension": {"type": "string", "description": "Extensions that this server has."},
                    "Tus-Max-Size": {"type": "integer", "description": "Bytes that one upload may have; absent: any."},
                    "Tus-Checksum-Algorithm": {"type": "string", "description": "Algorithms for `Upload-Checksum`."},
                },
            },
        },
    ),
    _operation(
        "HEAD",
        UPLOAD,
        "Ask where an upload stands",
        "A running request is not interrupted: what has arrived is made durable first, and counts.",
        parameters=[ID, VERSION, AUTHORIZATION],
        responses={
            200: {
                "description": "Said in headers.",
                "headers": {
                    **OFFSET,
                    "Upload-Length": {"type": "integer", "description": "Bytes of the whole upload, once that is known."},
                    "Upload-Metadata": {"type": "string", "description": "As the creation gave it."},
                    **EXPIRES,
                },
            },
            401: STRANGER,
            404: GONE,
            412: WRONG_VERSION,
            423: {"description": "The storage or the database is away; ask again."},
        },
    ),
    _operation(
        "PATCH",
        UPLOAD,
        "Send bytes",
        "From the offset on, as many as there are; what arrives is kept, also when the connection breaks.",
        consumes=[OFFSET_OCTETS],
        parameters=[
            ID,
            VERSION,
            AUTHORIZATION,
            _header("Upload-Offset", "Where these bytes begin.", required=True, kind="integer", example=0),
            _header("Upload-Length", "Bytes of the whole upload, when that was deferred.", kind="integer"),
            CHECKSUM,
            {**BODY, "required": True},
        ],
        responses={
            204: {"description": "The bytes are durable.", "headers": {**OFFSET, **EXPIRES}},
            400: {"description": "A header is missing or malformed."},
            401: STRANGER,
            403: {"description": "A final upload takes no bytes."},
            404: GONE,
            409: {"description": "The offset is another one.", "headers": OFFSET},
            412: WRONG_VERSION,
            413: {"description": "More bytes than the upload may have."},
            415: {"description": f"The body's type is not `{OFFSET_OCTETS}`."},
            460: {"description": "The bytes are not those of the checksum; none of them counts."},
            503: AWAY,
        },
    ),
    _operation(
        "DELETE",
        UPLOAD,
        "Delete an upload",
        "Finished or not, with its bytes.",
        parameters=[ID, VERSION, AUTHORIZATION],
        responses={204: {"description": "It is gone."}, 401: STRANGER, 404: GONE, 412: WRONG_VERSION, 503: AWAY},
    ),
    _operation(
        "GET",
        UPLOAD,
        "Download a finished upload",
        "With ranges and validators.",
        produces=["application/octet-stream", "text/plain"],
        parameters=[ID, AUTHORIZATION, _header("Range", "`bytes=0-99`, or several stretches.")],
        responses={
            200: {"description": "The file."},
            206: {"description": "The stretches that were asked for."},
            304: {"description": "It is the one that the client has."},
            401: STRANGER,
            404: GONE,
            409: {"description": "It is not finished yet; `Retry-After` says when to ask again."},
            416: {"description": "None of the stretches is in the file."},
            503: AWAY,
        },
    ),
)
