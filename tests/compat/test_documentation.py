"""The documentation at `/docs`, as it is served and in Debian's Chromium."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page

from tests.acceptance.visitor import chromium
from tests.compat.client import BASE, Client
from tests.deployments import Deployment

FIELDS = {
    "init": [],
    "chunk": ["chunk_size", "upload_id", "chunk_index", "file"],
    "complete": ["upload_id", "total_chunks", "total_size", "file_extension", "content_type", "credential", "detail"],
}
OPERATIONS = {
    *((f"{BASE}/upload/{name}/", "post") for name in ("init", "chunk", "complete")),
    (f"{BASE}/upload/retry", "post"),
    *((f"{BASE}/{name}/{{file_id}}", "get") for name in ("get", "status")),
    *(("/files/", method) for method in ("post", "options")),
    *(("/files/{id}", method) for method in ("head", "patch", "delete", "get")),
}


@pytest.fixture
async def specification(client: Client) -> dict[str, Any]:
    """Fetch what the page is made of."""
    answer = await client.ask("GET", "/docs/swagger.json", headers={"Accept-Encoding": "identity"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    said: dict[str, Any] = json.loads(answer.body)
    return said


async def test_every_endpoint_is_described(specification: dict[str, Any]) -> None:
    """The six and those of tus, each in a group, with a summary, its parameters, and what it answers."""
    operations = {
        (path, method): said for path, methods in specification["paths"].items() for method, said in methods.items()
    }
    assert set(operations) == OPERATIONS
    groups = {tag["name"] for tag in specification["tags"]}
    for (path, method), said in operations.items():
        assert set(said["tags"]) <= groups
        assert said["summary"]
        assert all(answer["description"] for answer in said["responses"].values())
        assert all(one.get("description") for one in said.get("parameters", ())), (path, method)
        if path.startswith(BASE):
            assert {"200", "503"} <= set(said["responses"])
            assert all(answer["examples"]["application/json"] for answer in said["responses"].values())


@pytest.mark.parametrize("name", FIELDS)
async def test_every_field_is_described(specification: dict[str, Any], name: str) -> None:
    """The fields are those of the form, in a form, and the file is a file."""
    parameters = specification["paths"][f"{BASE}/upload/{name}/"]["post"].get("parameters", [])
    assert [one["name"] for one in parameters] == FIELDS[name]
    assert {one["in"] for one in parameters} <= {"formData"}
    assert {one["name"] for one in parameters if one["type"] == "file"} == {"file"} & set(FIELDS[name])


async def test_what_may_be_null_or_must_not_be_empty_says_so(specification: dict[str, Any]) -> None:
    """A client that is made from the description takes a public file's null, and sends no text that counts as missing."""
    shown = specification["definitions"]["FileShown"]["properties"]
    assert {name for name, said in shown.items() if said.get("x-nullable")} == {"credential", "detail"}
    form = specification["paths"][f"{BASE}/upload/complete/"]["post"]["parameters"]
    texts = {one["name"] for one in form if one["type"] == "string" and one["required"]}
    assert {one["name"] for one in form if one.get("minLength") == 1} == texts


async def test_it_is_served_from_here(client: Client) -> None:
    """At both spellings, asked for each time, kept by its tag, and nothing but its own files."""
    for spelling in ("/docs", "/docs/"):
        answer = await client.ask("GET", spelling, headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        again = await client.ask(
            "GET", spelling, headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["ETag"]}
        )
        assert again.status == 304
    for name in ("docs.py", "index.html", "..%2fdist%2findex.html", "swagger-ui.css.map"):
        assert (await client.ask("GET", f"/docs/{name}")).status == 404


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser."""
    async with chromium() as one:
        yield one


async def opened(page: Page, name: str) -> Locator:
    """Open an endpoint, ready to be tried."""
    block = page.locator(".opblock", has=page.locator(f'[data-path="{BASE}/upload/{name}/"]'))
    await block.locator(".opblock-summary-control").click()
    await block.locator(".try-out__btn").click()
    return block


async def executed(block: Locator) -> dict[str, Any]:
    """Send the request, and return what the page shows of the answer."""
    await block.locator("button.execute").click()
    shown = block.locator(".live-responses-table .response-col_description pre").first
    await shown.wait_for(timeout=60_000)
    said: dict[str, Any] = json.loads(await shown.inner_text())
    return said


async def test_it_is_tried_out_in_a_browser(browser: Browser, server: Deployment, tmp_path: Path) -> None:
    """The page begins an upload and sends a chunk; nothing is fetched from elsewhere, and nothing is forbidden or wrong."""
    base, wrong = server.urls[0], list[str]()
    page = await browser.new_page(viewport={"width": 390, "height": 900})
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith((base, "data:", "blob:")) else wrong.append(one.url))
    await page.goto(f"{base}/docs?url=https://elsewhere.example/swagger.json")
    await page.wait_for_selector(".opblock", timeout=60_000)
    assert await page.locator(".opblock").count() == len(OPERATIONS)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    begun = await executed(await opened(page, "init"))
    block = await opened(page, "chunk")
    await block.locator("[data-param-name=upload_id] input").fill(begun["data"]["upload_id"])
    chunk = tmp_path / "chunk"
    chunk.write_bytes(b"hello")
    await block.locator("[data-param-name=file] input").set_input_files(chunk)
    stored = await executed(block)
    assert stored["data"] == {"chunk_index": 0, "upload_id": begun["data"]["upload_id"]}
    assert wrong == []
