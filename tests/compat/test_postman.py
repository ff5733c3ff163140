"""`postman_collection.json`, by Postman's own runner."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.client import DENIED, NOT_BEGUN, compact
from tests.compat.test_fields import LIMIT, LISTED, TOO_LARGE
from tests.conftest import missing
from tests.deployments import Deployment
from tusfm.web.build import BuildError, find_node

COLLECTION = Path(__file__).parent.parent.parent / "postman_collection.json"
CLIENTS = Path(__file__).parent.parent / "clients"
UPLOADED = "File uploaded previously!"
EXAMPLES: dict[str, dict[str, str | list[str]]] = {
    "Begin an upload": {"200": ""},
    "Send a chunk": {
        "200": "The chunk is uploaded successfully!",
        "422 unknown upload": NOT_BEGUN,
        "422 chunk too large": [f"[body->chunk_size] input should be less than or equal to {LIMIT}", TOO_LARGE],
    },
    "Complete the upload": {"200 public": "", "200 private": "", "422 extension": [LISTED]},
    "Ask for the status": {
        "200 SUCCESS": "",
        "200 FAILURE": "",
        "200 with credential": "",
        "403": DENIED,
        "404": "Not found!",
    },
    "Get the file": {"200 public": "", "200 private": "", "403": DENIED, "404": "Not found!"},
    "Try a failed file again": {"200": "", "200 with credential": "", "400 uploaded": UPLOADED, "403": DENIED},
}


def newman(server: Deployment, report: Path) -> subprocess.CompletedProcess[str]:
    """Run the collection in its order against a server."""
    program = CLIENTS / "node_modules" / "newman" / "bin" / "newman.js"
    if not program.is_file():
        missing("newman")
    try:
        node = find_node().node
    except BuildError as error:
        missing(str(error))
        raise
    place = server.urls[0].removeprefix("http://")
    told = ["--env-var", f"filemanager={place}/api/v1/file", "--reporters", "cli,json", "--reporter-json-export", str(report)]
    command = [*node, str(program), "run", str(COLLECTION), *told]
    return subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, check=False, timeout=100)


def test_the_collection_passes_in_its_order(server: Deployment, tmp_path: Path) -> None:
    """Each request keeps what the next one needs; the file's link gives the bytes that were sent."""
    report = tmp_path / "report.json"
    done = newman(server, report)
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(report.read_text())["run"]
    assert (run["failures"], run["stats"]["assertions"]["failed"]) == ([], 0)
    assert {one["item"]["name"] for one in run["executions"]} == set(EXAMPLES)
    assert run["stats"]["assertions"]["total"] >= 12


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """List the saved examples with the request of each."""
    for item in json.loads(COLLECTION.read_text())["item"]:
        for example in item["response"]:
            yield item["name"], example


def test_the_examples_are_all_there() -> None:
    """One request an endpoint, with the examples of the contract, and the variable that says where the server is."""
    collection = json.loads(COLLECTION.read_text())
    assert {"key": "filemanager", "value": "127.0.0.1:8000/api/v1/file"} in collection["variable"]
    named = {item["name"]: [example["name"] for example in item["response"]] for item in collection["item"]}
    assert named == {name: list(those) for name, those in EXAMPLES.items()}


@pytest.mark.parametrize(
    ("request_name", "example"), list(examples()), ids=lambda one: one if isinstance(one, str) else one["name"]
)
def test_an_example_says_what_the_server_says(request_name: str, example: dict[str, Any]) -> None:
    """Its status is that of its name, and its body the envelope with the message or the errors that belong to it."""
    said = EXAMPLES[request_name][example["name"]]
    body = json.loads(example["body"])
    assert str(example["code"]) == re.match(r"\d+", example["name"])[0]  # type: ignore[index]
    assert example["body"].encode() == compact(body)
    if example["code"] == 200:
        assert list(body) == ["data", "message", "success"]
        assert (body["message"], body["success"]) == (said, True)
    else:
        wanted = {"errors": said, "message": ""} if isinstance(said, list) else {"errors": [], "message": said}
        assert body == {**wanted, "success": False}
