"""Three processes behind nginx, with the configuration that deploy/nginx.conf offers."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.acceptance.conftest import sha256
from tests.acceptance.visitor import INPUT, visit
from tests.conftest import missing
from tests.deployments import IN_TURN, Deployment, stack_of
from tests.servers import free_port

SAMPLE = Path(__file__).parent.parent.parent / "deploy" / "nginx.conf"
SIZE = int(os.environ.get("TUSFM_TEST_BYTES", "150000000"))
SPEED = SIZE // 12  # bytes a second: the upload takes twelve seconds
KILLS = 6


@dataclass
class Behind:
    """A deployment, and the address under which nginx shows it."""

    deployment: Deployment
    url: str


@pytest.fixture
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """Start three processes and a worker on MySQL, MinIO and RabbitMQ, and nginx."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("nginx")
    assert program is not None
    with stack_of(IN_TURN, request, tmp_path) as stack:
        deployment = Deployment(tmp_path, stack, 3)
        deployment.start()
        port = free_port()
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(configured(deployment, port, tmp_path))
        process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(configuration), "-e", "stderr"])
        try:
            yield Behind(deployment, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(10)
        deployment.stop()


def configured(deployment: Deployment, port: int, folder: Path) -> str:
    """Take the sample, with this test's ports, and put what Debian has around it."""
    text = SAMPLE.read_text().replace("listen 80;", f"listen 127.0.0.1:{port};")
    for number, process in enumerate(deployment.processes):
        text = text.replace(f"server 127.0.0.1:800{number};", f"server 127.0.0.1:{process.port};")
    places = "".join(
        f"{name}_temp_path {folder}/nginx-{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = f"daemon off;\npid {folder}/nginx.pid;\nworker_processes 1;\nevents {{}}\n"
    return f"{around}http {{\naccess_log off;\n{places}{text}}}\n"


async def test_a_browser_uploads_while_processes_are_killed(behind: Behind, browser: Browser, tmp_path: Path) -> None:
    """Uppy sends a large file through the proxy while one process after the other is killed and started: it is whole."""
    file = tmp_path / "large.bin"
    with file.open("wb") as output:
        for _ in range(SIZE // 1_000_000):
            output.write(os.urandom(1_000_000))
    await asyncio.sleep(0.5)
    visitor = await visit(browser, f"{behind.url}/")
    await visitor.line(SPEED)
    await visitor.page.set_input_files(INPUT, file)
    await visitor.until("sending")
    for number in range(KILLS):
        await asyncio.sleep(0.5)
        process = behind.deployment.processes[number % 3]
        process.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(process.start)
    assert sha256(await visitor.arrived()) == sha256(file)
    assert visitor.methods().count("POST") == 1
    offsets = visitor.patched_at()
    assert offsets == sorted(offsets)
    assert visitor.wrong == []


def test_all_processes_are_dead(behind: Behind) -> None:
    """The proxy's own 502 is 423 on HEAD, where a 5xx would make clients begin again, and 503 elsewhere."""
    url = f"{behind.url}/files/" + "0" * 32
    with contextlib.suppress(urllib.error.URLError):
        urllib.request.urlopen(f"{behind.url}/healthz", timeout=60)
    for process in behind.deployment.processes:
        process.kill()
    for method, status in (("HEAD", 423), ("PATCH", 503), ("GET", 503)):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10)
        raised.value.close()
        assert raised.value.code == status
        assert (raised.value.headers["Retry-After"], raised.value.headers["Tus-Resumable"]) == ("5", "1.0.0")
