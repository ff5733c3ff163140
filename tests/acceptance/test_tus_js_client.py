"""tus-js-client, in Node."""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import sha256
from tests.conftest import missing
from tests.servers import ServerProcess
from tusfm.web.build import BuildError, find_node

CLIENTS = Path(__file__).parent.parent / "clients"


def node() -> str:
    """Find Node: the machine's, or the one that the page was built with."""
    if not (CLIENTS / "node_modules" / "tus-js-client").is_dir():
        missing("tus-js-client")
    try:
        return find_node().node[0]
    except BuildError as error:
        missing(str(error))
        raise


def upload(server: ServerProcess, file: Path, **told: Any) -> Iterator[dict[str, Any]]:
    """Run the client, and give what it says as it says it."""
    told = {"endpoint": f"{server.url}/files/", "file": str(file), **told}
    command = [node(), "upload.mjs", json.dumps(told)]
    with subprocess.Popen(command, cwd=CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        guard = threading.Timer(90, process.kill)
        guard.start()
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line) if line.startswith("{") else {"what": "noise", "line": line}
        guard.cancel()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"chunkSize": 5_000_000},
        {"withCreation": True},
        {"deferred": True, "chunkSize": 7_000_000},
        {"parallel": 3},
        {"pause": 30},
    ],
    ids=str,
)
def test_a_file_arrives_whole(server: ServerProcess, large_file: Path, told: dict[str, Any]) -> None:
    """However it is sent (at once, in chunks, deferred, in parallel, with a pause), the file is the same."""
    said = list(upload(server, large_file, **told))
    assert said[-1]["what"] == "success", said[-5:]
    assert sha256(said[-1]["url"]) == sha256(large_file)


def test_a_killed_server_is_hidden_by_the_clients_own_retry(server: ServerProcess, large_file: Path) -> None:
    """SIGKILL in the middle and a new start: the client goes on by itself, and not from the beginning."""
    said = []
    killed = 0
    for line in upload(server, large_file, chunkSize=4_000_000, pace=100):
        said.append(line)
        if line["what"] == "progress" and line["sent"] > (killed + 1) * 15_000_000 and killed < 2:
            server.kill()
            server.start()
            killed += 1
    assert killed == 2
    assert said[-1]["what"] == "success", said[-5:]
    assert sha256(said[-1]["url"]) == sha256(large_file)


def test_an_upload_is_terminated(server: ServerProcess, large_file: Path) -> None:
    """abort(true) deletes the upload on the server."""
    said = list(upload(server, large_file, terminate=True))
    assert [line["what"] for line in said[-2:]] == ["success", "terminated"]
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(said[-2]["url"], timeout=10)
    raised.value.close()
    assert raised.value.code == 404
