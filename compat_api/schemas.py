"""The forms' fields, as the old service took them, and what it said of those that it did not take."""

import json
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates

from compat_api.errors import Rejected
from compat_api.forms import Form, TooLong

UNPROCESSABLE = 422
BLANKS = "".join((" \t\n\v\f\r\x85\xa0\u1680", *map(chr, range(0x2000, 0x200B)), "\u2028\u2029\u202f\u205f\u3000"))
"""Unicode's white space."""
NUMBER = re.compile(r"([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.0+)?", re.ASCII)
MOST_DIGITS = 4300
LARGEST = 2147483647
LONGEST_TYPE = 255
REQUIRED = "field required"
EXTENSIONS = (
    *("txt", "jpg", "png", "pdf", "mp4", "mp3", "mov", "avi", "doc", "docx", "xls", "xlsx"),
    *("ppt", "pptx", "gif", "bmp", "tiff", "csv", "json", "xml", "html", "zip", "rar", "tar"),
    *("gz", "wav", "flac", "ogg", "webm", "mkv", "heic", "svg", "psd", "ai", "eps", "tif", "tga"),
)
QUOTED = [f"'{one}'" for one in EXTENSIONS]
AMONG = f"input should be {', '.join(QUOTED[:-1])} or {QUOTED[-1]}"


class FormInteger(fields.Integer):
    """An integer in a form: blanks around it, a sign, leading zeros, single underscores, a fraction of zeros."""

    default_error_messages = {
        "required": REQUIRED,
        "invalid": "input should be a valid integer, unable to parse string as an integer",
        "too_large": "unable to parse input string as an integer, exceeded maximum size",
    }

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        found = NUMBER.fullmatch(str(value).strip(BLANKS))
        if found is None:
            raise self.make_error("invalid")
        digits = found[2].replace("_", "").lstrip("0") or "0"
        if len(digits) > MOST_DIGITS:
            raise self.make_error("too_large")
        return int(found[1] + digits)


class FormText(fields.String):
    """A text in a form; an empty one counts as missing."""

    default_error_messages = {"required": REQUIRED}

    def __init__(self, metadata: Mapping[str, object], *valid: validate.Validator) -> None:
        """Take what the documentation says of it, and what it is held against."""
        super().__init__(required=True, validate=valid, metadata={"minLength": 1, **metadata})


class FormFile(fields.Raw):
    """The bytes of a file; neither a text, nor more than a chunk may have."""

    default_error_messages = {
        "required": REQUIRED,
        "invalid": "value error, expected uploadfile, received: <class 'str'>",
        "too_large": "file sile is larger than valid chunk size",
    }

    def _deserialize(self, value: object, *_: object, **__: object) -> object:
        if isinstance(value, str):
            raise self.make_error("invalid")
        if isinstance(value, TooLong):
            raise self.make_error("too_large")
        return value


class JsonObject(fields.Raw):
    """A JSON object as text; its keys and values are kept as text, as Python writes them."""

    default_error_messages = {"invalid": "invalid json format for {name}"}

    def __init__(self, metadata: Mapping[str, object]) -> None:
        """Take what the documentation says of it."""
        super().__init__(metadata={"type": "string", **metadata})

    def _deserialize(self, value: object, *_: object, **__: object) -> Mapping[str, str]:
        try:
            read = json.loads(str(value))
            if not isinstance(read, dict):
                raise self.make_error("invalid", name=self.name)
            pairs = {key: str(one) for key, one in read.items()}
            "".join((*pairs, *pairs.values())).encode()  # half of a surrogate pair can be neither kept nor shown
        except (ValueError, RecursionError) as error:
            raise self.make_error("invalid", name=self.name) from error
        return pairs


class Within(validate.Range):
    """A bound, in the old service's words."""

    message_min = "input should be {min_op} {{min}}"
    message_max = "input should be {max_op} {{max}}"


COUNT = (Within(min=0), Within(max=LARGEST))


def shown(about: str, example: object = None) -> dict[str, object]:
    """Write what the documentation says of a field, and what it fills in."""
    said: dict[str, object] = {"description": about}
    return said if example is None else {**said, "x-example": example}


class FormSchema(Schema):
    """What all forms share: an empty value counts as missing, and names that nobody asked for mean nothing."""

    class Meta:
        """Of marshmallow."""

        unknown = "exclude"

    @pre_load
    def without_empty(self, form: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """Leave out what is empty."""
        return {name: value for name, value in form.items() if value != ""}


class ChunkForm(FormSchema):
    """One chunk; *most* is the limit of its bytes."""

    chunk_size = FormInteger(
        required=True, validate=Within(min=0), metadata=shown("Bytes of the chunk, as the client counts them.", 1048576)
    )
    upload_id = FormText(shown("As `init` answered it."))
    chunk_index = FormInteger(required=True, validate=COUNT, metadata=shown("The chunk's place, from 0.", 0))
    file = FormFile(required=True, metadata={**shown("The chunk's bytes."), "type": "file"})

    def __init__(self, most: int) -> None:
        """Take the limit in bytes."""
        super().__init__()
        self._most = Within(max=most)

    @validates("chunk_size")
    def within_limit(self, value: int) -> None:
        """Hold what the client says against the limit; what it sends is held against it as it comes."""
        self._most(value)


class CompletionForm(FormSchema):
    """All chunks were sent; `total_size` is never refused for its value."""

    upload_id = FormText(shown("As `init` answered it."))
    total_chunks = FormInteger(required=True, validate=COUNT, metadata=shown("How many chunks make the file.", 1))
    total_size = FormInteger(required=True, metadata=shown("Bytes of the file, as the client counts them.", 1048576))
    file_extension = FormText(
        shown("The end of the file's name, without a dot.", "txt"), validate.OneOf(EXTENSIONS, error=AMONG)
    )
    content_type = FormText(
        shown("The type that browsers are told.", "text/plain"),
        validate.Length(max=LONGEST_TYPE, error="string should have at most {max} characters"),
    )
    credential = JsonObject(metadata=shown("A JSON object; who shows these pairs may read the file. Empty: anyone.", ""))
    detail = JsonObject(metadata=shown("A JSON object that is kept and shown with the file.", '{"title": "Minutes"}'))


class RetryForm(FormSchema):
    """A FAILURE is to be tried again."""

    file_id = FormText(shown("The `id` that `complete` answered."))
    credential = JsonObject(metadata=shown("A private file's credential, a JSON object."))


def load(schema: FormSchema, form: Form) -> dict[str, Any]:
    """Return the fields' values. Rejected, with all that is wrong.

    Nothing is missing of a form that was not read to its end: it might yet have come.
    """
    try:
        loaded: dict[str, Any] = schema.load(form.fields, partial=not form.whole)
    except ValidationError as error:
        raise Rejected(UNPROCESSABLE, told=_told(schema, error.messages_dict)) from error
    return loaded


def _told(schema: FormSchema, messages: Mapping[str, list[str]]) -> list[str]:
    """Write errors in the order of the schema; a JSON object's is told when nothing else is wrong, and only the first."""
    plain: list[str] = []
    objects: list[str] = []
    for name, field in schema.fields.items():
        said = [f"[body->{name}] {message}" for message in messages.get(name, ())]
        (objects if isinstance(field, JsonObject) else plain).extend(said)
    return plain or objects[:1]
