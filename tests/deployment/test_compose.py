"""docker-compose.yml without Docker: each command that it gives, with the environment that it gives."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy.engine import URL
from tusclient import client

from tests.acceptance.conftest import sha256
from tests.conftest import missing
from tests.deployment.compose import ROOT, env_file, environment, services
from tests.servers import CommandProcess, ServerProcess, WorkerProcess, free_port
from tests.services.rabbitmq import PLACES, Rabbit
from tests.services.s3 import binary
from tests.stacks import database, mysql_settings

VALUES = env_file()
SERVICES = services(VALUES)


def program(name: str) -> str:
    """Find a program of the machine's, or of the tests' own."""
    found = shutil.which(name, path=f"{PLACES}:/usr/sbin") or binary(name)
    if found is None:
        missing(name)
    return str(found)


@dataclass
class Composed:
    """The services, moved to this machine: ports are free ones, names are 127.0.0.1."""

    folder: Path
    values: dict[str, str]
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in ("8000", "8080", "9000")})

    def moved(self, words: Sequence[str]) -> list[str]:
        """Put this test's ports in the place of those that a container has for itself."""
        return [self._moved(word) for word in words]

    def _moved(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(port, str(free))
        return text

    def command(self, name: str) -> list[str]:
        """Return a service's command."""
        return self.moved(SERVICES[name]["command"])

    def healthy(self, name: str, environ: Mapping[str, str] | None = None) -> bool:
        """Run a service's health check."""
        kind, *words = self.moved(SERVICES[name]["healthcheck"]["test"])
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else [program(words[0]), *words[1:]]
        if words[0] == "python":
            command[0] = sys.executable
        given = {**os.environ, **environment(SERVICES[name], self.values), **(environ or {})}
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=200, check=False)
        print(done.stdout, done.stderr)
        return done.returncode == 0


class Service(CommandProcess):
    """A service that is not ours: the program that its command names, on this machine."""

    def __init__(self, composed: Composed, name: str, command: Sequence[str], settings: Mapping[str, str]) -> None:
        """Take the command, in which places and ports are this test's own."""
        super().__init__(composed.folder / name, name, settings, [])
        self._command = [program(command[0]), *command[1:]]
        self._healthy = lambda: composed.healthy(name)

    def __enter__(self) -> Self:
        """Start, and wait until its own health check passes."""
        self.launch()
        self.await_(self._healthy)
        return self


@pytest.fixture
def composed(tmp_path: Path, mysql_server: URL, rabbitmq_server: Rabbit) -> Iterator[Composed]:
    """Point the names of .env at this machine, start MinIO as the file says, and migrate as it says."""
    with database(mysql_server) as url:
        one = Composed(tmp_path, {**VALUES, **mysql_settings(url), **rabbitmq_server.settings("test-compose")})
        one.values["MINIO_ENDPOINT"] = f"127.0.0.1:{one.ports['9000']}"
        minio = ["minio", *(str(tmp_path / "minio") if word == "/data" else word for word in one.command("minio"))]
        settings = {"MINIO_CI_CD": "1", **environment(SERVICES["minio"], VALUES)}  # the root disk will do
        with Service(one, "minio", minio, settings):
            yield one


def migrate(composed: Composed) -> str:
    """Run the job that migrates."""
    environ = {**os.environ, **environment(SERVICES["migrate"], composed.values)}
    command = [sys.executable, "-m", "tusfm", *composed.command("migrate")]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def scaled(composed: Composed, count: int) -> Iterator[list[ServerProcess]]:
    """Start so many servers and a worker."""
    with contextlib.ExitStack() as running:
        worker_settings = environment(SERVICES["worker"], composed.values)
        worker = WorkerProcess(composed.folder / "worker", worker_settings, *composed.command("worker")[1:])
        running.enter_context(worker)
        yield [running.enter_context(composed_server(composed, number)) for number in range(count)]


def composed_server(composed: Composed, number: int) -> ServerProcess:
    """Make a server with the file's command, on a port of its own."""
    name, *arguments, option, _ = SERVICES["tusfm"]["command"]
    assert (name, option) == ("serve", "--port")
    return ServerProcess(composed.folder / str(number), environment(SERVICES["tusfm"], composed.values), arguments)


@contextlib.contextmanager
def balancer(composed: Composed, servers: Sequence[ServerProcess]) -> Iterator[str]:
    """Start HAProxy with the file's configuration; servers stand in it where Docker's names would be resolved."""
    given, _ = SERVICES["balancer"]["volumes"][0].split(":", 1)
    text = (ROOT / given).read_text().replace("maxconn 20000", "maxconn 200")  # shells allow fewer descriptors than Docker
    head, _, _ = text.rpartition("    server-template")
    resolvers = text[text.index("resolvers docker") : text.index("frontend http")]
    lines = "".join(f"    server s{number} 127.0.0.1:{one.port}\n" for number, one in enumerate(servers))
    configuration = composed.folder / "haproxy.cfg"
    configuration.write_text(composed._moved(head.replace(resolvers, "")) + lines)
    command = [*SERVICES["balancer"]["command"][:-1], str(configuration)]
    with Service(composed, "balancer", command, {}):
        yield f"http://127.0.0.1:{composed.ports['8080']}"


@pytest.mark.timeout(240)  # it starts eight processes
def test_a_file_goes_through_all_of_it(composed: Composed, tmp_path: Path) -> None:
    """The job migrates, and may run again; two servers, a worker and the balancer take a file of several parts."""
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(20_000_000))
    assert "brought from nothing" in migrate(composed)
    assert "already" in migrate(composed)
    assert not composed.healthy("tusfm")
    with scaled(composed, 2) as servers, balancer(composed, servers) as url:
        composed.ports["8000"] = servers[0].port
        assert composed.healthy("tusfm")
        with file.open("rb") as stream:
            uploader = client.TusClient(f"{url}/files/").uploader(file_stream=stream, chunk_size=7_000_000)
            uploader.upload()
        path = str(uploader.url).partition("/files/")[2]
        assert sha256(f"{url}/files/{path}") == sha256(file)
        servers[0].kill()
        assert sha256(f"{url}/files/{path}") == sha256(file)


def test_the_balancer_can_read_its_file(tmp_path: Path) -> None:
    """HAProxy finds no fault in it, Docker's names included, which are not resolved here."""
    copy = tmp_path / "haproxy.cfg"
    copy.write_text((ROOT / "deploy" / "haproxy.cfg").read_text().replace("maxconn 20000", "maxconn 200"))
    *command, _ = SERVICES["balancer"]["command"]
    done = subprocess.run([program(command[0]), "-c", *command[1:], copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_servers_health_check_is_the_images_own() -> None:
    """The file repeats what the image does, with its own times."""
    (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "CMD [" in line and "urlopen" in line]
    assert json.loads(line.partition("CMD ")[2]) == SERVICES["tusfm"]["healthcheck"]["test"][1:]


@pytest.mark.timeout(240)
def test_the_databases_health_check(tmp_path: Path, mysql_server: URL) -> None:
    """The health check finds a database that listens on TCP, and only such a one."""
    composed = Composed(tmp_path, VALUES)
    assert composed.healthy("db-mysql", {"MYSQL_TCP_PORT": str(mysql_server.port)})
    assert not composed.healthy("db-mysql", {"MYSQL_TCP_PORT": str(free_port())})


@pytest.mark.timeout(240)  # the broker's tool takes its time on a busy machine
def test_the_brokers_health_check(tmp_path: Path, rabbitmq_server: Rabbit) -> None:
    """The health check is one that the broker's own tool knows, and passes."""
    if not rabbitmq_server.environ:
        missing("a broker that the tests started themselves")
    assert Composed(tmp_path, VALUES).healthy("rabbitmq", rabbitmq_server.environ)


@pytest.mark.parametrize(("user", "shown"), [("root", ""), ("tusfm", "tusfm")])
def test_the_database_starts_whoever_its_user_is(tmp_path: Path, user: str, shown: str) -> None:
    """MySQL's image makes the user that .env names, but is not asked to make root."""
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\necho "$MYSQL_USER|$*"\n')
    entrypoint.chmod(0o755)
    service = services({**VALUES, "MYSQL_USER": user})["db-mysql"]
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment(service, VALUES)}
    done = subprocess.run(
        [*service["entrypoint"], *service["command"]], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{shown}|mysqld --port=3306\n"
