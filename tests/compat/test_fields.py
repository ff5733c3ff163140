"""What a form's fields may be, and what is said of those that are wrong."""

import json
import re
from collections.abc import Mapping

import pytest

from tests.compat.client import CHUNK, COMPLETE, INIT, NEVER, NOT_BEGUN, RETRY, Client, Parts, refusal

REQUIRED = "field required"
NO_INTEGER = "input should be a valid integer, unable to parse string as an integer"
TOO_LONG = "unable to parse input string as an integer, exceeded maximum size"
TEXT_FILE = "[body->file] value error, expected uploadfile, received: <class 'str'>"
TOO_LARGE = "[body->file] file sile is larger than valid chunk size"
LARGEST = 2147483647
LIMIT = 10485760
LISTED = (
    "[body->file_extension] input should be 'txt', 'jpg', 'png', 'pdf', 'mp4', 'mp3', 'mov', 'avi', 'doc', 'docx', 'xls', "
    "'xlsx', 'ppt', 'pptx', 'gif', 'bmp', 'tiff', 'csv', 'json', 'xml', 'html', 'zip', 'rar', 'tar', 'gz', 'wav', 'flac', "
    "'ogg', 'webm', 'mkv', 'heic', 'svg', 'psd', 'ai', 'eps', 'tif' or 'tga'"
)
EXTENSIONS = re.findall("'([a-z0-9]+)'", LISTED)
OF_CHUNK: dict[str, str | bytes] = {"chunk_size": "3", "upload_id": NEVER, "chunk_index": "0", "file": b"abc"}
OF_COMPLETE: dict[str, str | bytes] = {
    "upload_id": NEVER,
    "total_chunks": "1",
    "total_size": "3",
    "file_extension": "txt",
    "content_type": "text/plain",
}


async def told(client: Client, path: str, fields: Mapping[str, str | bytes]) -> list[str]:
    """Send a form in both directions, and return what is said of its fields."""
    parts = list(fields.items())
    answers = [await client.post(path, parts), await client.post(path, parts[::-1])]
    if not any(isinstance(value, bytes) for value in fields.values()):
        answers.append(await client.post_pairs(path, parts))
    errors: list[str] = json.loads(answers[0].body)["errors"]
    for answer in answers:
        assert (answer.status, answer.body) == (422, refusal("", *errors))
        assert answer.headers["Content-Type"] == "application/json"
    return errors


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (CHUNK, ["chunk_size", "upload_id", "chunk_index", "file"]),
        (COMPLETE, ["upload_id", "total_chunks", "total_size", "file_extension", "content_type"]),
        (RETRY, ["file_id"]),
    ],
)
async def test_what_is_missing(client: Client, path: str, names: list[str]) -> None:
    """Each missing field is told, in this order; an empty one is missing, and so are all of a body that is no form."""
    every = [f"[body->{name}] {REQUIRED}" for name in names]
    assert await told(client, path, {}) == every
    assert await told(client, path, dict.fromkeys(names, "")) == every
    for kind, body in (
        *(("application/json", b'{"upload_id": "x"}'), ("text/plain", b"upload_id=x"), ("", b"x=1")),
        *(("multipart/form-data; boundary=x", b"--x--"), ("multipart/form-data; boundary=x", b"--x--\r\n")),
        *((kind, b"") for kind in ("", "multipart/form-data; boundary=x", "multipart/form-data", "application/json")),
    ):
        answer = await client.ask("POST", path, body, {"Content-Type": kind} if kind else {})
        assert (answer.status, answer.body) == (422, refusal("", *every)), kind


@pytest.mark.parametrize("left_out", list(OF_COMPLETE))
async def test_one_is_missing(client: Client, left_out: str) -> None:
    """The field that is missing is told, and nothing else."""
    fields = {name: value for name, value in OF_COMPLETE.items() if name != left_out}
    assert await told(client, COMPLETE, fields) == [f"[body->{left_out}] {REQUIRED}"]


async def test_errors_come_in_the_contracts_order(client: Client) -> None:
    """Whatever the form's order, `chunk_size` is told first and `file` last."""
    wrong = {"file": "text", "chunk_index": "x", "chunk_size": str(LIMIT + 1)}
    assert await told(client, CHUNK, wrong) == [
        f"[body->chunk_size] input should be less than or equal to {LIMIT}",
        f"[body->upload_id] {REQUIRED}",
        f"[body->chunk_index] {NO_INTEGER}",
        TEXT_FILE,
    ]
    wrong = {"content_type": "", "file_extension": "exe", "total_size": "1.5", "total_chunks": "-1", "credential": "["}
    assert await told(client, COMPLETE, wrong) == [
        f"[body->upload_id] {REQUIRED}",
        "[body->total_chunks] input should be greater than or equal to 0",
        f"[body->total_size] {NO_INTEGER}",
        LISTED,
        f"[body->content_type] {REQUIRED}",
    ]


@pytest.mark.parametrize(
    ("said", "number"),
    [
        *((" 4 ", 4), ("+4", 4), ("007", 7), ("1_0", 10), ("1.0", 1), ("-0", 0), ("1_0.000", 10), ("\t5\n", 5), ("0_7", 7)),
        *(("\u00a06\u2003", 6), (str(LARGEST), LARGEST), ("0" * 5000 + "8", 8), (" " * 5000 + "9", 9)),
    ],
)
async def test_integers_are_taken_as_the_old_service_took_them(client: Client, said: str, number: int) -> None:
    """Blanks, a sign, leading zeros, underscores and a fraction of zeros are forgiven; the answer has the number."""
    fields: Parts = [("upload_id", await client.begun()), ("chunk_index", said), ("chunk_size", " +3_0.0"), ("file", b"abc")]
    assert (await client.post(CHUNK, fields)).data["chunk_index"] == number


@pytest.mark.parametrize(
    "said",
    [
        "x",
        "1.5",
        "0x1",
        "1e3",
        "\u0664",
        "1__0",
        "_1",
        "1_",
        "1.",
        ".0",
        "+ 4",
        "+-4",
        "--4",
        "1 0",
        "4\0",
        "1,0",
        "\U0001d7d2",
        " ",
    ],
)
async def test_what_is_no_integer(client: Client, said: str) -> None:
    """Fractions, other bases and other alphabets are no integers."""
    assert await told(client, CHUNK, {**OF_CHUNK, "chunk_index": said}) == [f"[body->chunk_index] {NO_INTEGER}"]
    assert await told(client, COMPLETE, {**OF_COMPLETE, "total_size": said}) == [f"[body->total_size] {NO_INTEGER}"]


@pytest.mark.parametrize(
    ("path", "fields", "name"),
    [
        (CHUNK, OF_CHUNK, "chunk_index"),
        (COMPLETE, OF_COMPLETE, "total_chunks"),
    ],
)
async def test_numbers_have_bounds(client: Client, path: str, fields: dict[str, str | bytes], name: str) -> None:
    """A count is from 0 to 2147483647; more than 4,300 digits are not even read."""
    below, above = "input should be greater than or equal to 0", f"input should be less than or equal to {LARGEST}"
    for said, error in (
        ("-1", below),
        (str(LARGEST + 1), above),
        ("9" * 30, above),
        ("9" * 4300, above),
        ("9" * 4301, TOO_LONG),
    ):
        assert await told(client, path, {**fields, name: said}) == [f"[body->{name}] {error}"]


@pytest.mark.parametrize("said", ["-5", "0", "2944531", "9" * 30, "9" * 4300, "3000000000"])
async def test_total_size_is_never_refused_for_its_value(client: Client, said: str) -> None:
    """A total size that is wrong, negative, or too large for any column is in order; the file is what its chunks are."""
    assert await client.content(await client.made(b"abc", total_size=said)) == b"abc"


async def test_total_size_of_too_many_digits(client: Client) -> None:
    """It has to be an integer that can be read."""
    assert await told(client, COMPLETE, {**OF_COMPLETE, "total_size": "9" * 4301}) == [f"[body->total_size] {TOO_LONG}"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (str(LIMIT + 1), f"input should be less than or equal to {LIMIT}"),
        ("-1", "input should be greater than or equal to 0"),
        ("9" * 30, f"input should be less than or equal to {LIMIT}"),
    ],
)
async def test_chunk_size_has_the_limit(client: Client, said: str, error: str) -> None:
    """What the client says of the size is held against the limit."""
    assert await told(client, CHUNK, {**OF_CHUNK, "chunk_size": said}) == [f"[body->chunk_size] {error}"]


async def test_a_chunk_over_the_limit(client: Client) -> None:
    """A chunk of the limit is taken, and one byte more is refused, with all that is wrong with the other fields."""
    upload_id = await client.begun()
    assert (await client.chunk(upload_id, 0, bytes(LIMIT))).status == 200
    too_large = ("file", bytes(LIMIT + 1))
    wrong: Parts = [too_large, ("chunk_size", str(LIMIT + 1)), ("chunk_index", "x")]
    answers = [await client.post(CHUNK, wrong), await client.post(CHUNK, wrong[::-1])]
    errors = [f"input should be less than or equal to {LIMIT}", REQUIRED, NO_INTEGER]
    named = [
        f"[body->{name}] {error}" for name, error in zip(("chunk_size", "upload_id", "chunk_index"), errors, strict=True)
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(422, refusal("", *named, TOO_LARGE))}
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == bytes(LIMIT)


async def test_a_text_in_the_place_of_the_file(client: Client) -> None:
    """`file` has to be a file; an empty text is a missing one."""
    assert await told(client, CHUNK, {**OF_CHUNK, "file": "abc"}) == [TEXT_FILE]
    assert await told(client, CHUNK, {**OF_CHUNK, "file": ""}) == [f"[body->file] {REQUIRED}"]


@pytest.mark.parametrize("said", ["exe", "TXT", ".txt", "txt ", "jpeg", "../txt", "tx\0t"])
async def test_an_unknown_extension(client: Client, said: str) -> None:
    """An extension is one of the list, as it stands there, and the error lists all."""
    assert await told(client, COMPLETE, {**OF_COMPLETE, "file_extension": said}) == [LISTED]


async def test_every_extension(client: Client) -> None:
    """Each extension of the list is taken, and ends the path."""
    for extension in EXTENSIONS:
        upload_id = await client.begun()
        file = (await client.complete(upload_id, 0, file_extension=extension)).data
        assert file["path"].endswith(f"/{upload_id}.{extension}")


NO_OBJECTS = ["[", "text", "[]", '"a"', "1", "null", "{'a': 1}", " ", '{"a": "\\ud800"}', "[" * 100_000, '{"a":' * 10_000]


@pytest.mark.parametrize("said", NO_OBJECTS, ids=range(len(NO_OBJECTS)))
async def test_what_is_no_json_object(client: Client, said: str) -> None:
    """Credential and detail are looked at when the rest is right, and only the first that is wrong is told."""
    credential = ["[body->credential] invalid json format for credential"]
    assert await told(client, COMPLETE, {**OF_COMPLETE, "credential": said, "detail": said}) == credential
    assert await told(client, RETRY, {"file_id": NEVER, "credential": said}) == credential
    detail = ["[body->detail] invalid json format for detail"]
    assert await told(client, COMPLETE, {**OF_COMPLETE, "credential": "{}", "detail": said}) == detail


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"user_id": 84793}', {"user_id": "84793"}),
        ('{"a": true, "b": null, "c": 1.50}', {"a": "True", "b": "None", "c": "1.5"}),
        ('{"list": [1, "x"], "map": {"q": 1}}', {"list": "[1, 'x']", "map": "{'q': 1}"}),
        ('{"z": "1", "a": "2", "z": "3"}', {"z": "3", "a": "2"}),
        (' {"ключ": "\\u00e9 \\ud83d\\ude00"} ', {"ключ": "é 😀"}),
        ('{"": ""}', {"": ""}),
        ("{}", {}),
        ("", None),
    ],
)
async def test_values_become_texts(client: Client, said: str, shown: dict[str, str] | None) -> None:
    """Keys and values of credential and detail are the texts that Python makes of them, in their order."""
    file = (await client.complete(await client.begun(), 0, credential=said, detail=said)).data
    assert (file["credential"], file["detail"]) == (shown, shown)
    assert list(file["credential"] or ()) == list(shown or ())
    assert file["path"].partition("/")[0].endswith("public") == (not shown)


@pytest.mark.parametrize(
    "upload_id",
    [
        NEVER,
        "x",
        "../../etc/passwd",
        "x" * 300,
        "a\0b",
        "%00",
        "' OR 1=1 --",
        "ü",
        NEVER + "/../x",
        NEVER.replace("1", "\u0661"),
    ],
)
async def test_an_upload_that_was_never_begun(client: Client, upload_id: str) -> None:
    """Chunk and complete of an upload that was never begun are 422 with a message; validation comes before."""
    for path, fields in ((CHUNK, OF_CHUNK), (COMPLETE, OF_COMPLETE)):
        answer = await client.post(path, list({**fields, "upload_id": upload_id}.items()))
        assert (answer.status, answer.body) == (422, refusal(NOT_BEGUN))
    wrong = {**OF_CHUNK, "upload_id": upload_id, "chunk_index": "x"}
    assert await told(client, CHUNK, wrong) == [f"[body->chunk_index] {NO_INTEGER}"]


async def test_an_upload_id_is_taken_exactly(client: Client) -> None:
    """Another letter case, or blanks, make it another id."""
    upload_id = await client.begun()
    for spelt in (upload_id.upper(), f" {upload_id}", f"{upload_id} ", upload_id.replace("-", ""), f"{{{upload_id}}}"):
        answer = await client.complete(spelt, 0)
        assert (answer.status, answer.body) == (422, refusal(NOT_BEGUN))


async def test_of_a_field_given_twice_the_last_counts(client: Client) -> None:
    """Texts and files alike."""
    upload_id = await client.begun()
    twice: Parts = [("file", b"first"), ("upload_id", NEVER), ("chunk_index", "9"), ("file", b"second"), ("chunk_index", "0")]
    answer = await client.post(CHUNK, [*twice, ("chunk_size", "6"), ("upload_id", upload_id)])
    assert answer.data["chunk_index"] == 0
    file = (await client.complete(upload_id, 1)).data
    assert await client.settled(file) == "SUCCESS"
    assert await client.content(file) == b"second"


async def test_a_long_content_type(client: Client) -> None:
    """A content type has up to 255 characters, whatever they are; more are refused, and not cut."""
    for said in ("x" * 255, "ü" * 255, "a/b\r\nX-Evil: 1", "тип"):
        file = await client.made(b"abc", content_type=said)
        assert file["content_type"] == said
        assert (await client.ask("GET", f"/api/v1/file/get/{file['id']}")).data["content_type"] == said
        assert await client.content(file) == b"abc"
    longer = {**OF_COMPLETE, "content_type": "x" * 256}
    assert await told(client, COMPLETE, longer) == ["[body->content_type] string should have at most 255 characters"]


async def test_init_takes_any_body(client: Client) -> None:
    """A form, JSON, or nothing: beginning has no fields."""
    for kind in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded"):
        answer = await client.ask("POST", INIT, b"{}", {"Content-Type": kind})
        assert answer.status == 200
