"""RabbitMQ for tests: an address in TUSFM_TEST_AMQP, else a broker of the machine's, started in a directory."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port
from tusfm.adapters.broker import BrokerAddress

START_SECONDS = 100
PLACES = "/usr/lib/rabbitmq/bin"
ERLANG = "/usr/lib/erlang"


@dataclass(frozen=True)
class Rabbit:
    """A broker that runs."""

    address: BrokerAddress
    environ: Mapping[str, str] = field(default_factory=dict)
    """With which the broker's own tools find it; empty where the tests did not start it."""

    def settings(self, prefix: str) -> dict[str, str]:
        """Return an environment that names it, with a queue and an exchange of the test's own."""
        return {
            "TUSFM_BROKER_PREFIX": prefix,
            "RABBITMQ_HOST": self.address.host,
            "RABBITMQ_PORT": str(self.address.port),
            "RABBITMQ_DEFAULT_USER": self.address.user,
            "RABBITMQ_DEFAULT_PASS": self.address.password,
        }


class RabbitProcess:
    """RabbitMQ in a directory, on a port that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        """Take a directory."""
        self._folder = folder
        port = free_port()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n")
        self._epmd_port = free_port()
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"test{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
            "LANG": "C.UTF-8",
        }
        address = BrokerAddress(host="127.0.0.1", port=port, user="guest", password="guest")
        self.rabbit = Rabbit(address, self._environ)
        self._names: subprocess.Popen[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with a name server of its own, and wait until it takes connections."""
        if self._names is None:
            self._names = subprocess.Popen([_found("epmd"), "-port", str(self._epmd_port)], env=self._environ)
            self._wait(self._names, lambda: _listens(self._epmd_port))  # else the broker starts one that outlives it
        with (self._folder / "rabbitmq.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_found("rabbitmq-server")], env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        self._wait(self.process, lambda: _answers(self.rabbit.address.port))

    def _wait(self, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        log = self._folder / "rabbitmq.log"
        end = time.monotonic() + START_SECONDS
        while not ready():
            said = log.read_text(errors="replace") if log.exists() else ""
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.05)

    def kill(self) -> None:
        """End it, as a power cut would."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def close(self) -> None:
        """End it, and its name server."""
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait()


def _found(name: str) -> str:
    places = [PLACES, os.environ.get("PATH", ""), *(str(one) for one in Path(ERLANG).glob("erts-*/bin"))]
    program = shutil.which(name, path=os.pathsep.join(places))
    assert program is not None, f"{name} is missing"
    return program


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _answers(port: int) -> bool:
    """Tell whether the broker speaks: it answers nonsense with its version."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.settimeout(1)
            probe.sendall(b"HELLO\0\0\0")
            return probe.recv(4) == b"AMQP"
    except OSError:
        return False


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[Rabbit | None]:
    """Give a broker; None when there is none to be had."""
    given = os.environ.get("TUSFM_TEST_AMQP")
    if given:
        parts = urllib.parse.urlsplit(given)
        yield Rabbit(
            BrokerAddress(
                host=parts.hostname or "",
                port=parts.port or 5672,
                user=parts.username or "guest",
                password=parts.password or "guest",
            )
        )
        return
    if not Path(PLACES, "rabbitmq-server").exists():
        yield None
        return
    process = RabbitProcess(folder)
    process.start()
    try:
        yield process.rabbit
    finally:
        process.close()
