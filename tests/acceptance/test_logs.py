"""The log: one line a request, its id on every line of it, and nothing that a client can forge or that is its own."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_metrics import until
from tests.conformance.client import Client, encoded, patch_head, path_of
from tests.servers import ServerProcess
from tests.stacks import EmbeddedStack

WAIT_SECONDS = 60.0
JSON = {"TUSFM_LOG_FORMAT": "json"}


async def lines(server: ServerProcess, enough: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
    """Read the log's objects, once there are enough: a line is written after its answer."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        read = [json.loads(line) for line in server.log().rpartition("\n")[0].splitlines()]  # the last may be half a line
        if enough(read):
            return read
        assert time.monotonic() < end, read
        await asyncio.sleep(0.05)


def of_requests(read: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose the lines that tell of requests."""
    return [line for line in read if line["logger"] == "tusfm.access"]


async def test_a_request_is_a_line(tmp_path: Path) -> None:
    """It has method, route, status, bytes, milliseconds, upload and request id, and no metadata."""
    with ServerProcess(tmp_path / "server", JSON) as server:
        async with Client([server.url]) as client:
            url = await client.made(5, Upload_Metadata=f"filename {encoded('secret.pdf')}")
            await client.patch(url, 0, b"hello")
            assert await client.content(url) == b"hello"
            await client.ask("GET", "/nowhere")
        told = of_requests(await lines(server, lambda read: len(of_requests(read)) == 4))
        upload = url.rpartition("/")[2]
        keys = ("method", "route", "status", "in", "out", "upload")
        assert [tuple(line.get(key) for key in keys) for line in told] == [
            ("POST", "/files/", 201, 0, 0, upload),
            ("PATCH", "/files/{id}", 204, 5, 0, upload),
            ("GET", "/files/{id}", 200, 0, 5, upload),
            ("GET", "none", 404, 0, 23, None),
        ]
        assert all(line["ms"] > 0 and line["request_id"] for line in told)
        await lines(server, lambda read: sum(line["logger"] == "tusfm.events" for line in read) == 2)
        assert "secret.pdf" not in server.log()
        assert encoded("secret.pdf") not in server.log()


async def test_metadata_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    """With TUSFM_LOG_METADATA=1 events bear it."""
    with ServerProcess(tmp_path / "server", {**JSON, "TUSFM_LOG_METADATA": "1"}) as server:
        async with Client([server.url]) as client:
            await client.made(5, Upload_Metadata=f"filename {encoded('report.pdf')}")
        await lines(server, lambda read: any("report.pdf" in line["message"] for line in read))


async def test_a_request_id_is_taken_or_made_and_answered(server: ServerProcess) -> None:
    """A plain word is taken; anything else, or nothing, gets an id of our own; errors bear it too."""
    async with Client([server.url]) as client:
        for name in ("3f2a", "Root=1-5e1b4151-5ac6c58f6d1ae9b2b3a4c5d6", "a" * 128):
            for method, path in (("OPTIONS", "/files/"), ("HEAD", "/files/none"), ("GET", "/nowhere"), ("GET", "/")):
                assert (await client.ask(method, path, {"X-Request-ID": name})).headers["X-Request-ID"] == name
        made = set()
        for bad in ("", "a" * 129, "two words", "a;b", 'a"b', "a\tb", "é", None):
            answer = await client.ask("OPTIONS", "/files/", {"X-Request-ID": bad})
            assert answer.headers["X-Request-ID"] not in {bad, ""}
            made.add(answer.headers["X-Request-ID"])
        assert len(made) == 8


async def test_the_id_stands_on_every_line_of_the_request(tmp_path: Path) -> None:
    """What goes wrong in a request can be found by its id, and no line of another one has it."""
    stack = EmbeddedStack(tmp_path / "data")
    with ServerProcess(tmp_path / "server", {**JSON, **stack.settings}) as server:
        async with Client([server.url]) as client:
            url = await client.made(5)
            stack.execute("ALTER TABLE uploads RENAME TO away")
            assert (await client.ask("HEAD", url, {"X-Request-ID": "the-one"})).status == 423
            stack.execute("ALTER TABLE away RENAME TO uploads")
            assert (await client.ask("HEAD", url, {"X-Request-ID": "another"})).status == 200
        read = await lines(server, lambda read: len(of_requests(read)) == 3)
        found = [line["logger"] for line in read if line.get("request_id") == "the-one"]
        assert found == ["tusfm.protocol.answers", "tusfm.access"]
        assert [line["status"] for line in read if line.get("request_id") == "another"] == [200]


async def test_a_request_that_is_cut_off_is_a_line(tmp_path: Path) -> None:
    """Its status is 499, for nobody got an answer; what had arrived is counted."""
    with ServerProcess(tmp_path / "server", JSON) as server:
        async with Client([server.url]) as client:
            url = await client.made(100)
            async with client.raw() as raw:
                await raw.send(patch_head(path_of(url), 0, 100) + b"a" * 60)
                await until(client, lambda now: now("received_bytes_total") == 60)
                raw.reset()
        told = of_requests(await lines(server, lambda read: len(of_requests(read)) == 2))
        assert (told[1]["method"], told[1]["status"], told[1]["in"], told[1]["out"]) == ("PATCH", 499, 60, 0)


@pytest.mark.parametrize("shape", ["text", "json"])
async def test_nobody_can_forge_a_line(tmp_path: Path, shape: str) -> None:
    """Line ends and terminal sequences in what a client sends never stand in the log as they are."""
    stack = EmbeddedStack(tmp_path / "data")
    settings = {**stack.settings, "TUSFM_LOG_FORMAT": shape, "TUSFM_LOG_LEVEL": "debug"}
    with ServerProcess(tmp_path / "server", settings) as server:
        stack.execute("ALTER TABLE chunked_files RENAME TO away")
        async with Client([server.url]) as client:
            evil = "%0aERROR%20forged%0d%1b%5b31m%C2%9b31m%E2%80%A8ERROR%20forged"
            path = "/api/v1/file/status/%0aERROR%20forged%0d%1b%5b31m"
            assert (await client.ask("GET", path, {"X-Request-ID": "a\u0085ERROR"})).status >= 500
            for method in ("GET", "HEAD", "PATCH", "POST", "DELETE"):
                await client.ask(method, f"/files/{evil}", {"Upload-Metadata": "filename Cg0b"})
            async with client.raw() as raw:
                await raw.send("G\x1b[31mET /\x0b HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x0bERROR forged\r\n\r\n")
                await raw.answer()
        assert "forged" in server.log()
        assert not [line for line in server.log().splitlines() if line.startswith("ERROR")]
        assert server.log().replace("\n", "").isprintable()


async def test_the_older_api_s_lines_name_their_uploads(tmp_path: Path) -> None:
    """Its ids stand in bodies, and its lines have them all the same."""
    with ServerProcess(tmp_path / "server", JSON) as server:
        async with Client([server.url]) as client:
            begun = json.loads((await client.ask("POST", "/api/v1/file/upload/init")).body)
        (line,) = of_requests(await lines(server, lambda read: len(of_requests(read)) == 1))
    assert (line["route"], line["upload"]) == ("/api/v1/file/upload/init", begun["data"]["upload_id"])
