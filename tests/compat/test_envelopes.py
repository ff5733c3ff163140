"""What every answer looks like, whatever is asked."""

import re
import uuid

import pytest

from tests.compat.client import BASE, CHUNK, COMPLETE, INIT, NEVER, RETRY, Client, Parts, compact, refusal

ENDPOINTS = [
    ("POST", INIT),
    ("POST", CHUNK),
    ("POST", COMPLETE),
    ("POST", RETRY),
    ("GET", f"{BASE}/get/{NEVER}"),
    ("GET", f"{BASE}/status/{NEVER}"),
]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_init(client: Client, slash: str) -> None:
    """An upload is begun with no body and no Content-Type, at both spellings of the URL, and its id is a UUID4."""
    answer = await client.ask("POST", INIT + slash)
    upload_id = uuid.UUID(answer.data["upload_id"])
    assert (upload_id.version, str(upload_id)) == (4, answer.data["upload_id"])
    said = f'{{"data":{{"chunk_size":10485760,"upload_id":"{upload_id}"}},"message":"","success":true}}'
    assert (answer.body, answer.headers["Content-Type"]) == (said.encode(), "application/json")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_chunk(client: Client, slash: str) -> None:
    """A chunk's index and upload come back, the index as a number."""
    upload_id = await client.begun()
    parts: Parts = [("file", b"abc"), ("upload_id", upload_id), ("chunk_index", "007"), ("chunk_size", "3")]
    answer = await client.post(CHUNK + slash, parts)
    message = "The chunk is uploaded successfully!"
    assert answer.body == compact(
        {"data": {"chunk_index": 7, "upload_id": upload_id}, "message": message, "success": True},
    )
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_file(client: Client, slash: str) -> None:
    """`complete`, `get` and `retry` show a file with its members in this order, compact and unescaped."""
    upload_id = await client.begun()
    parts = [("upload_id", upload_id), ("total_chunks", "1"), ("total_size", "1"), ("file_extension", "txt")]
    more = [("content_type", "text/größe"), ("detail", '{"b": "ключ", "a": "é"}')]
    answer = await client.post(COMPLETE + slash, [*parts, *more])
    said = (
        r'\{"data":\{"id":"[0-9a-f-]{36}","path":"[a-z-]+/%s\.txt","content_type":"text/größe",'
        r'"detail":\{"b":"ключ","a":"é"\},"credential":null,"download_url":"http://[^"]+/%s\.txt"\},'
        r'"message":"","success":true\}'
    )
    assert re.fullmatch(said.replace("%s", upload_id).encode(), answer.body), answer.body
    file = answer.data
    assert (file["id"] != upload_id, uuid.UUID(file["id"]).version) == (True, 4)
    got = await client.ask("GET", f"{BASE}/get/{file['id']}{slash}")
    assert got.body == answer.body
    assert await client.settled(file) == "FAILURE"
    again = await client.post(RETRY + slash, [("file_id", file["id"])])
    assert again.body == answer.body


@pytest.mark.parametrize("slash", ["", "/"])
async def test_status(client: Client, slash: str) -> None:
    """`status` says one word."""
    file = await client.made(b"hello")
    answer = await client.ask("GET", f"{BASE}/status/{file['id']}{slash}")
    assert answer.body == b'{"data":{"status":"SUCCESS"},"message":"","success":true}'


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/nowhere",
        "/upload",
        "/upload/",
        "/upload/init/more",
        "/get",
        "/get/",
        "/get/a/b",
        "//upload/init",
        "/%2e%2e",
    ],
)
async def test_an_unknown_route(client: Client, path: str) -> None:
    """Below the API, what is not there is 404 in the envelope."""
    for method in ("GET", "POST"):
        answer = await client.ask(method, BASE + path)
        assert (answer.status, answer.body) == (404, refusal("Not Found"))
        assert answer.headers["Content-Type"] == "application/json"


async def test_the_neighbourhood_is_not_the_old_api(client: Client) -> None:
    """What only begins like the API answers as the rest of the server does."""
    answer = await client.ask("GET", f"{BASE}s/get/{NEVER}")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize(("right", "path"), ENDPOINTS)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_wrong_method(client: Client, right: str, path: str, slash: str) -> None:
    """Another method is 405 with the true `Allow`, in the envelope."""
    wrong = {"GET": "POST", "POST": "GET"}[right]
    allow = {"GET": "GET,HEAD,OPTIONS", "POST": "OPTIONS,POST"}[right]
    for method in (wrong, "DELETE", "PATCH", "PUT"):
        answer = await client.ask(method, path + slash)
        assert (answer.status, answer.headers["Allow"]) == (405, allow)
        assert answer.body == refusal("Method Not Allowed")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_browsers_may_call_it(client: Client, method: str, path: str) -> None:
    """A preflight is 204 with what tus allows, and every answer may be read by any page, errors too."""
    origin = {"Origin": "https://a.example"}
    answer = await client.ask("OPTIONS", path, headers={**origin, "Access-Control-Request-Method": method})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert {method, "OPTIONS"} <= set(answer.headers["Access-Control-Allow-Methods"].split(","))
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    answered = await client.ask(method, path, headers=origin)
    assert answered.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answered.headers["Access-Control-Expose-Headers"]


async def test_head_is_get_without_its_body(client: Client) -> None:
    """HEAD answers with what GET would say of the body, and none."""
    file = await client.made(b"hello")
    for url in (f"{BASE}/get/{file['id']}", f"{BASE}/status/{file['id']}", f"{BASE}/get/{NEVER}"):
        got, head = await client.ask("GET", url), await client.ask("HEAD", url)
        assert (head.status, head.body) == (got.status, b"")
        assert (head.headers["Content-Length"], head.headers["Content-Type"]) == (str(len(got.body)), "application/json")
