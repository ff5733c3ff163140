"""toxiproxy: a TCP proxy whose connections a test can cut, stall and slow down."""

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.servers import free_port
from tests.services.s3 import binary

START_SECONDS = 100


class Toxiproxy:
    """A running toxiproxy."""

    def __init__(self, port: int) -> None:
        """Take the port of its API."""
        self._api = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, said: object = None) -> object:
        """Call its API."""
        data = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(self._api + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body.startswith((b"{", b"[")) else None

    def before(self, host: str, port: int, *, enabled: bool = True) -> "Proxy":
        """Put a proxy before a server."""
        chosen = free_port()
        name = f"proxy-{chosen}"
        listen = {"name": name, "listen": f"127.0.0.1:{chosen}", "upstream": f"{host}:{port}", "enabled": enabled}
        self.ask("POST", "/proxies", listen)
        return Proxy(self, name, chosen)


class Proxy:
    """One proxy."""

    def __init__(self, toxiproxy: Toxiproxy, name: str, port: int) -> None:
        """Use Toxiproxy.before."""
        self._toxiproxy = toxiproxy
        self._name = name
        self.port = port

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._toxiproxy.ask("POST", f"/proxies/{self._name}", {"enabled": False})

    def mend(self) -> None:
        """Let everything pass."""
        for toxic in self._toxiproxy.ask("GET", f"/proxies/{self._name}/toxics") or []:  # type: ignore[attr-defined]
            self._toxiproxy.ask("DELETE", f"/proxies/{self._name}/toxics/{toxic['name']}")
        self._toxiproxy.ask("POST", f"/proxies/{self._name}", {"enabled": True})

    def stall(self) -> None:
        """Let nothing pass, and say nothing."""
        for stream in ("upstream", "downstream"):
            toxic = {"type": "timeout", "stream": stream, "attributes": {"timeout": 0}}
            self._toxiproxy.ask("POST", f"/proxies/{self._name}/toxics", {"name": f"stall-{stream}", **toxic})

    def narrow(self, kilobytes: int) -> None:
        """Let so many kB a second through to the server."""
        toxic = {"type": "bandwidth", "stream": "upstream", "attributes": {"rate": kilobytes}}
        self._toxiproxy.ask("POST", f"/proxies/{self._name}/toxics", {"name": "narrow", **toxic})


@contextlib.contextmanager
def toxiproxy(folder: Path) -> Iterator[Toxiproxy | None]:
    """Start one; None when it is not to be had."""
    program = binary("toxiproxy-server")
    if program is None:
        yield None
        return
    port = free_port()
    with (folder / "toxiproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-port", str(port)], stdout=log, stderr=log)
    try:
        one = Toxiproxy(port)
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                one.ask("GET", "/version")
                break
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield one
    finally:
        process.kill()
        process.wait()
