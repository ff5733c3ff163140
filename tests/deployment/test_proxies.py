"""HAProxy and Caddy with the configurations in deploy/, before two servers; nginx has a suite of its own."""

import contextlib
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tusclient import client
from tusclient.exceptions import TusCommunicationError

from tests.acceptance.conftest import sha256
from tests.conftest import missing
from tests.deployment.compose import ROOT
from tests.servers import ServerProcess, free_port

CHUNK = 4_000_000
ATTEMPTS = 60


def haproxy(servers: Sequence[int], port: int) -> str:
    """Name the servers where Docker's names would be resolved."""
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace("maxconn 20000", "maxconn 200")
    text = re.sub(r"resolvers docker\n.*?\n\n", "", text, count=1, flags=re.DOTALL)
    named = "".join(f"server s{server} 127.0.0.1:{server}\n    " for server in servers)
    return re.sub(r"server-template .*", named.strip(), text)


def caddy(servers: Sequence[int], port: int) -> str:
    """Name the servers, and leave out what is one for the machine: the port for administration."""
    text = (ROOT / "deploy" / "Caddyfile").read_text().replace(":80 {", f"http://127.0.0.1:{port} {{")
    named = " ".join(f"127.0.0.1:{server}" for server in servers)
    return "{\n\tadmin off\n}\n" + re.sub(r"127.0.0.1:8000.* {", f"{named} {{", text)


PROXIES = {
    "haproxy": (haproxy, ["-f"]),
    "caddy": (caddy, ["run", "--adapter", "caddyfile", "--config"]),
}


@dataclass
class Behind:
    """Two servers, and the address under which a proxy shows them."""

    servers: list[ServerProcess]
    url: str

    def status(self, method: str, path: str) -> tuple[int, str | None]:
        """Ask, and return the status and Tus-Resumable."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers["Tus-Resumable"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Tus-Resumable"]

    def until(self, path: str, status: int) -> None:
        """Wait for an answer."""
        end = time.monotonic() + ATTEMPTS
        while self.status("GET", path)[0] != status:
            assert time.monotonic() < end, f"{path} did not become {status}"
            time.sleep(0.1)


@pytest.fixture(params=PROXIES)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """Start two servers that share a directory, and a proxy before them."""
    program = shutil.which(request.param, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing(request.param)
    configured, arguments = PROXIES[request.param]
    settings = {"TUSFM_DATA_DIR": str(tmp_path / "data"), "TUSFM_BEHIND_PROXY": "1"}
    with contextlib.ExitStack() as running:
        servers = [running.enter_context(ServerProcess(tmp_path / str(number), settings)) for number in range(2)]
        port = free_port()
        configuration = tmp_path / "configuration"
        configuration.write_text(configured([server.port for server in servers], port))
        environ = {**os.environ, "HOME": str(tmp_path)}
        process = subprocess.Popen([str(program), *arguments, str(configuration)], env=environ, cwd=tmp_path)
        running.callback(process.wait, 20)
        running.callback(process.terminate)
        _listening(process, port)
        one = Behind(servers, f"http://127.0.0.1:{port}")
        one.until("/readyz", 200)
        yield one


def _listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + ATTEMPTS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2):
            return
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


def send(tus: client.TusClient, file: Path, url: str | None, upto: int) -> str:
    """Send a file up to an offset, going on after whatever happens, and return the upload's URL."""
    for _ in range(ATTEMPTS):
        with file.open("rb") as stream, contextlib.suppress(TusCommunicationError):
            uploader = tus.uploader(file_stream=stream, chunk_size=CHUNK, url=url)
            uploader.upload(stop_at=upto)
            return str(uploader.url)
        time.sleep(0.5)
    raise AssertionError("the upload did not go on")


@pytest.mark.timeout(240)
def test_the_sample_keeps_the_rules(behind: Behind, tmp_path: Path) -> None:
    """Whichever server is killed, the other one goes on with the upload; with none, HEAD is 423 and all else 503.

    Figures are not shown: Prometheus asks each process directly.
    """
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(5 * CHUNK))
    tus = client.TusClient(f"{behind.url}/files/")
    url = send(tus, file, None, CHUNK)
    assert url.startswith(behind.url)
    for number, server in enumerate(behind.servers):
        server.kill()
        send(tus, file, url, (2 + number) * CHUNK)
        server.start()
    send(tus, file, url, 5 * CHUNK)
    assert sha256(url) == sha256(file)
    assert behind.status("GET", "/metrics")[0] == 404
    for server in behind.servers:
        server.kill()
    behind.until("/healthz", 503)
    path = url.removeprefix(behind.url)
    answers = [behind.status(method, path) for method in ("HEAD", "PATCH", "GET")]
    assert answers == [(423, "1.0.0"), (503, "1.0.0"), (503, "1.0.0")]
