"""Workloads of bad networks: connections that are cut, connections that fall silent, and a thousand slow senders."""

import contextlib
import math
import random
import socket
import statistics
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.asking import finished
from benchmarks.client import MIB, OCTETS, VERSION, Client, Unexpected, content, download, together
from benchmarks.meter import Meter
from benchmarks.uploading import scaled

RST = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: closing sends a reset
AGAIN_SECONDS = 0.05
PATIENCE_SECONDS = 120.0
SILENCE_SECONDS = (
    0.25  # after its last byte, a client comes back; sooner than any does, and later than bytes are on their way
)
SLOW_BYTES = 4096
SLOW_LENGTH = 100 * MIB
FAST_BYTES = 512 * MIB
SETTLE_SECONDS = 15.0
CROWDED_SECONDS = 60  # a peer that reads the crowd first does not come to the fast one


def cut(size: int, times: int) -> Callable[[Meter], None]:
    """Upload a file over connections that are cut, by FIN and RST in turn; then look at its bytes."""

    def run(meter: Meter) -> None:
        whole = scaled(size, meter.scale)
        journey = _Journey(meter.server.port, whole, whole // (times + 1))
        with meter.measured(whole / MIB):
            journey.travel(times, _close)
        meter.figures["again"] = (journey.sent - whole) / MIB
        meter.figures["head"] = max(journey.asked) * 1000
        _require_bytes(meter.server.port, journey.path, whole)

    return run


def silent(size: int, times: int) -> Callable[[Meter], None]:
    """Upload a file over connections that fall silent and stay open, as a phone's that changes its network."""

    def run(meter: Meter) -> None:
        whole = scaled(size, meter.scale)
        journey = _Journey(meter.server.port, whole, whole // (times + 1))
        left: list[Client] = []

        def fall_silent(client: Client) -> None:
            left.append(client)
            time.sleep(SILENCE_SECONDS)
            meter.paused += SILENCE_SECONDS

        with meter.measured(whole / MIB):
            journey.travel(times, lambda client, _: fall_silent(client))
        for client in left:
            client.socket.close()
        meter.figures["again"] = (journey.sent - whole) / MIB
        meter.figures["head"] = max(journey.asked) * 1000
        _require_bytes(meter.server.port, journey.path, whole)

    return run


def _close(client: Client, number: int) -> None:
    if number % 2:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
    client.socket.close()


@dataclass
class _Journey:
    """One upload over many connections."""

    port: int
    size: int
    step: int
    sent: int = 0
    path: str = ""
    asked: list[float] = field(default_factory=list)

    def travel(self, times: int, leave: Callable[[Client, int], object]) -> None:
        """Send a step over each connection, leave it, and ask how far it came."""
        with Client(self.port) as client:
            self.path, _ = client.create(self.size)
        offset = 0
        for number in range(times):
            step = min(self.step, self.size - offset - 1)
            leave(self._part(offset, step), number)
            offset = self._offset()
        with Client(self.port) as client:
            while offset < self.size:
                client.patch(self.path, offset, self.size - offset)
                self.sent += self.size - offset
                offset = self.size

    def _part(self, offset: int, step: int) -> Client:
        """Begin to send all that is left, and send a step of it."""
        client = Client(self.port)
        head = f"PATCH {self.path} HTTP/1.1\r\n{VERSION}{OCTETS}Upload-Offset: {offset}\r\n"
        client.socket.sendall(client.begin(head, self.size - offset))
        with contextlib.suppress(ConnectionError):
            client.send(offset, step)
        self.sent += step
        return client

    def _offset(self) -> int:
        """Ask where to go on, again while the upload is locked."""
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE_SECONDS:
            with contextlib.suppress(ConnectionError), Client(self.port) as client:
                reply = client.head(self.path)
                if reply.status == 200:
                    self.asked.append(time.perf_counter() - began)
                    return int(reply.headers["upload-offset"])
            time.sleep(AGAIN_SECONDS)
        raise Unexpected("The upload is locked for two minutes.")


def _require_bytes(port: int, path: str, size: int) -> None:
    finished(port, path)
    checksum = 0
    for start, step in content().stretches(0, size):
        checksum = zlib.crc32(memoryview(content().data)[start : start + step], checksum)
    found = download(port, path, zlib.crc32)
    if (found.size, found.checksum) != (size, checksum):
        raise Unexpected("The bytes that come back are not those that were sent.")


def crowd(count: int, *, fast: int = FAST_BYTES) -> Callable[[Meter], None]:
    """Let so many clients send 4 KiB a second, and a fast one beside them."""

    def run(meter: Meter) -> None:
        size = scaled(fast, meter.scale)
        alone = _fast(meter.server.port, size)
        with slow_senders(meter.server.port, count) as senders:
            time.sleep(SETTLE_SECONDS)
            with meter.measured(3 * size / MIB):
                beside = _fast(meter.server.port, size)
        meter.figures["kept"] = meter.figures["rate"] = alone / beside
        meter.figures["errors"] = senders.errors

    return run


def _fast(port: int, size: int) -> float:
    """Return the seconds of a fast upload, the median of three; infinite where none is done while anybody would wait."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        try:
            with Client(port, patience=CROWDED_SECONDS) as client:
                path, _seconds = client.create(size)
                client.patch(path, 0, size)
        except BlockingIOError:
            return math.inf
        found.append(time.perf_counter() - began)
    return statistics.median(found)


class _Senders:
    """Clients that send a little every second, all from one thread."""

    def __init__(self, port: int, count: int) -> None:
        self.errors = 0
        self._over = threading.Event()
        numbers = iter(range(count))
        opened = together(8, lambda: [self._open(port) for _ in iter(lambda: next(numbers, None), None)])
        self._clients = [client for some in opened for client in some]

    def _open(self, port: int) -> Client:
        client = Client(port)
        path, _ = client.create(SLOW_LENGTH)
        head = f"PATCH {path} HTTP/1.1\r\n{VERSION}{OCTETS}Upload-Offset: 0\r\n"
        client.socket.sendall(client.begin(head, SLOW_LENGTH))
        return client

    def run(self) -> None:
        """Spread the clients over each second."""
        order = random.Random(1).sample(self._clients, len(self._clients))
        turns = 20
        due = time.monotonic()
        at = 0
        while not self._over.is_set():
            for client in order[at % turns :: turns]:
                try:
                    client.socket.send(content().data[:SLOW_BYTES], socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue  # the server leaves it unread for now
                except OSError:
                    self.errors += 1
            at, due = at + 1, due + 1 / turns
            self._over.wait(max(0.0, due - time.monotonic()))

    def end(self) -> None:
        """Stop sending."""
        self._over.set()

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.socket.close()


@contextlib.contextmanager
def slow_senders(port: int, count: int) -> Iterator[_Senders]:
    """Open so many slow uploads, and keep them going."""
    senders = _Senders(port, count)
    thread = threading.Thread(target=senders.run)
    thread.start()
    try:
        yield senders
    finally:
        senders.end()
        thread.join()
        senders.close()
