"""CORS."""

import pytest

from tests.conformance.client import Client
from tests.conformance.conftest import ONE_STACK
from tests.deployments import Start

PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "PATCH", "Tus-Resumable": None}
NEEDED = {
    "authorization",
    "content-type",
    "if-none-match",
    "if-range",
    "range",
    "tus-resumable",
    "upload-checksum",
    "upload-concat",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-http-method-override",
    "x-request-id",
    "x-requested-with",
}


@pytest.mark.parametrize("path", ["/files/", "/files/" + "0" * 32])
async def test_a_preflight_allows_what_tus_needs(client: Client, path: str) -> None:
    """A preflight is 204 with methods, headers and a day of Max-Age."""
    answer = await client.ask("OPTIONS", path, PREFLIGHT)
    headers = answer.headers
    assert (answer.status, headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert set(headers["Access-Control-Allow-Methods"].split(",")) == {"POST", "GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}
    assert set(headers["Access-Control-Allow-Headers"].lower().split(",")) >= NEEDED
    assert headers["Access-Control-Max-Age"] == "86400"


@pytest.mark.parametrize(("method", "path"), [("POST", "/files/"), ("HEAD", "/files/" + "0" * 32), ("GET", "/nowhere")])
async def test_answers_are_exposed_errors_too(client: Client, method: str, path: str) -> None:
    """A page may read Location, Upload-…, Tus-… and the others, of errors as well."""
    answer = await client.ask(method, path, {"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(","))
    assert exposed >= {"Location", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Upload-Concat"}
    assert exposed >= {
        "Tus-Resumable",
        "Tus-Extension",
        "Content-Range",
        "Accept-Ranges",
        "ETag",
        "X-Request-ID",
        "Retry-After",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "NONSENSE"])
async def test_any_origin_is_said_to_all(client: Client, method: str) -> None:
    """What a cache keeps of a request without an origin serves pages too, and they can read what HTTP's grammar refuses."""
    async with client.raw() as raw:
        await raw.send(f"{method} /files/{'0' * 32} HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.answer(empty=method == "HEAD")).headers["Access-Control-Allow-Origin"] == "*"


@ONE_STACK
async def test_a_list_of_origins(fresh: Start) -> None:
    """With a list, an origin on it is named, and any other is served without a CORS header; Vary says so."""
    async with Client(fresh(TUSFM_CORS_ORIGINS="https://a.example, https://b.example").urls) as client:
        good = await client.ask("POST", headers={"Upload-Length": "1", "Origin": "https://b.example"})
        bad = await client.ask("POST", headers={"Upload-Length": "1", "Origin": "https://c.example"})
    assert (good.status, good.headers["Access-Control-Allow-Origin"], good.headers["Vary"]) == (
        201,
        "https://b.example",
        "Origin",
    )
    assert (bad.status, bad.headers["Vary"]) == (201, "Origin")
    assert not [name for name in bad.headers if name.lower().startswith("access-control")]
