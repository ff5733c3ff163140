"""The servers that are measured: ours and its peers, on the production stack and on the embedded one."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy.engine import URL

from benchmarks.client import Client
from benchmarks.peers import build
from benchmarks.storage import Bucket
from tests.servers import OURS, WorkerProcess, free_port
from tests.services.rabbitmq import Rabbit
from tests.services.s3 import S3Server
from tests.stacks import ProductionStack, migrated

START_SECONDS = 60.0
LOOK_SECONDS = 0.005
CHILDREN = ("--concurrency", "2")  # as docker-compose.yml has it
TUSFM, TUSD, NODE, BARE, SINK, DIRECT = "tusfm", "tusd", "@tus/server", "bare handler", "sink", "straight to MinIO"
ONE_PATCH = "tusfm, one PATCH"


Place = ProductionStack | None


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started: its command line (where {port} and {data} stand for themselves) and its environment."""

    line: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    ready: str = "OPTIONS /files/"


class Server:
    """A server process of one run, with folders of its own for data and temporary files."""

    def __init__(self, name: str, command: Command, folder: Path) -> None:
        """Take a name, how it is started, and a folder that is made and deleted."""
        self.name = name
        self.port = free_port()
        self.bucket: Bucket | None = None
        self.stack: ProductionStack | None = None
        self.worker: WorkerProcess | None = None
        self.data, self.temporary = folder / "data", folder / "temporary"
        self.started_in = 0.0
        self.environ: Mapping[str, str] = {}
        self._folder = folder
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        for folder in (self._folder, self.data, self.temporary):
            folder.mkdir()
        self._start()
        return self

    def _start(self) -> None:
        line = [one.format(port=self.port, data=self.data) for one in self._command.line]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environ = {**kept, "TMPDIR": str(self.temporary), "TUSFM_DATA_DIR": str(self.data), **self._command.environ}
        began = time.perf_counter()
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(line, env=self.environ, stdout=log, stderr=log)
        self._wait(began)
        self.started_in = time.perf_counter() - began

    def restart(self) -> None:
        """End it, and start it again on what it stored."""
        self._stop()
        self._start()

    def __exit__(self, *_: object) -> None:
        """End it, and delete what it stored."""
        self._stop()
        shutil.rmtree(self._folder)

    def _stop(self) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """Its process, and its worker's."""
        worker = self.worker.process if self.worker else None
        return [self.pid, worker.pid] if worker else [self.pid]

    def _wait(self, began: float) -> None:
        while time.perf_counter() - began < START_SECONDS:
            with contextlib.suppress(OSError), Client(self.port) as client:
                client.ask(f"{self._command.ready} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\n")
                return
            assert self._process is not None
            if self._process.poll() is not None:
                break
            time.sleep(LOOK_SECONDS)
        sys.exit(f"{self.name} did not start: {(self._folder / 'log').read_text(errors='replace')}")


@dataclass
class Services:
    """What the production stack stands on; *through* is a proxy that counts, while one does; a broker brings a worker."""

    mysql: URL
    s3: S3Server
    through: S3Server | None = None
    broker: Rabbit | None = None

    @property
    def endpoint(self) -> S3Server:
        """Where servers send what they store."""
        return self.through or self.s3


def _ours(place: Place) -> Command:
    settings = place.settings if place else {}
    return Command([sys.executable, "-m", "tusfm", "serve", "--port", "{port}"], {**settings, "TUSFM_LOG_LEVEL": "warning"})


@contextlib.contextmanager
def ours_on(services: Services, url: URL) -> Iterator[Server]:
    """Start our server on a bucket of its own and a database that is there already."""
    bucket = Bucket(services.s3, f"bench-{secrets.token_hex(4)}")
    bucket.make()
    with contextlib.ExitStack() as stack:
        stack.callback(bucket.drop)
        yield stack.enter_context(Server(TUSFM, _ours(ProductionStack(url, services.endpoint, bucket.name)), _folder()))


@contextlib.contextmanager
def production(name: str, services: Services, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """Start a server on a bucket, and ours on a database, of its own."""
    bucket = Bucket(services.s3, f"bench-{secrets.token_hex(4)}")
    bucket.make()
    with contextlib.ExitStack() as stack:
        stack.callback(bucket.drop)
        command, place = _PRODUCTION[name](services, bucket, stack)
        command = Command([*command.line, *arguments], command.environ, command.ready)
        server = stack.enter_context(Server(name, command, _folder()))
        server.bucket, server.stack = bucket, place
        if services.broker is not None and place is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server.worker = stack.enter_context(WorkerProcess(Path(folder), place.settings, *CHILDREN))
        yield server


@contextlib.contextmanager
def embedded(name: str, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """Start a server on a directory of its own."""
    command = _EMBEDDED[name]()
    with Server(name, Command([*command.line, *arguments], command.environ, command.ready), _folder()) as server:
        yield server


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"tusfm-bench-{secrets.token_hex(4)}"


def _tusfm_on_s3(services: Services, bucket: Bucket, stack: contextlib.ExitStack) -> tuple[Command, Place]:
    place = ProductionStack(stack.enter_context(migrated(services.mysql)), services.endpoint, bucket.name)
    if services.broker is not None:
        place.settings |= services.broker.settings(bucket.name)
    return _ours(place), place


def _tusd_on_s3(services: Services, bucket: Bucket, _: contextlib.ExitStack) -> tuple[Command, Place]:
    s3 = ("-s3-bucket", bucket.name, "-s3-endpoint", services.endpoint.url, "-s3-disable-ssl")
    return Command(_tusd(*s3), _keys(services.endpoint)), None


def _node_on_s3(services: Services, bucket: Bucket, _: contextlib.ExitStack) -> tuple[Command, Place]:
    environ = {"S3_BUCKET": bucket.name, "S3_ENDPOINT": services.endpoint.url, **_keys(services.endpoint)}
    return Command([*build.node_server(), "{port}"], environ), None


def _direct(services: Services, _: Bucket, __: contextlib.ExitStack) -> tuple[Command, Place]:
    """Start a sink, which nobody asks: the workloads write to the bucket."""
    del services
    return _sink(), None


def _sink() -> Command:
    return Command([sys.executable, "-m", "benchmarks.sink", "{port}"])


def _tusd(*arguments: str) -> list[str]:
    return [build.tusd(), "-host", "127.0.0.1", "-port", "{port}", "-show-startup-logs=false", "-verbose=false", *arguments]


def _keys(server: S3Server) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": server.key, "AWS_SECRET_ACCESS_KEY": server.secret, "AWS_REGION": "us-east-1"}


_PRODUCTION: Mapping[str, Callable[[Services, Bucket, contextlib.ExitStack], tuple[Command, Place]]] = {
    TUSFM: _tusfm_on_s3,
    ONE_PATCH: _tusfm_on_s3,
    TUSD: _tusd_on_s3,
    NODE: _node_on_s3,
    DIRECT: _direct,
}
_EMBEDDED: Mapping[str, Callable[[], Command]] = {
    TUSFM: lambda: _ours(None),
    TUSD: lambda: Command(_tusd("-upload-dir", "{data}")),
    NODE: lambda: Command([*build.node_server(), "{port}", "{data}"]),
    BARE: lambda: Command([sys.executable, "-m", "benchmarks.bare", "{data}", "{port}"]),
    SINK: _sink,
}
