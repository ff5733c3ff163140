"""Workloads of what workers do: files in chunks, what comes after an upload's last byte, a queue of finalizations."""

import contextlib
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlencode

from benchmarks.asking import FINISH_SECONDS
from benchmarks.client import OCTETS, VERSION, Client, Reply, Unexpected, expect, shared, together
from benchmarks.meter import MIB, Meter
from benchmarks.servers import ONE_PATCH, Server
from benchmarks.uploading import AT_ONCE, SMALL_FILE, scaled
from tests.stacks import ProductionStack

T = TypeVar("T")
R = TypeVar("R")

API = "/api/v1/file"
PAIRS = "application/x-www-form-urlencoded"
BOUNDARY = "a-boundary-of-forms"
REST_SECONDS = 0.05  # between uploads, so that each finds the stack idle
COUNT_SECONDS = 0.1
ASK_SECONDS = 0.05  # between questions for a status; many more would be a load of their own
COUNT_AVAILABLE = "SELECT COUNT(*) FROM uploads WHERE state = 'available'"


def chunked(size: int, step: int, at_once: int) -> Callable[[Meter], None]:
    """Send a file in chunks by the older API until it is SUCCESS, or beside it the same bytes as one PATCH."""

    def run(meter: Meter) -> None:
        whole = scaled(size, meter.scale)
        with Client(meter.server.port) as client:
            if meter.server.name == ONE_PATCH:
                path, _ = client.create(whole)
                with meter.measured(whole / MIB):
                    client.patch(path, 0, whole)
            else:
                upload_id = _begin(client)
                with meter.measured(whole / MIB):
                    _send_chunks(meter.server.port, at_once, upload_id, whole, step)
                    _await_success(client, _complete(client, upload_id, -(-whole // step)))
        meter.figures["rate"] = meter.seconds

    return run


def _send_chunks(port: int, at_once: int, upload_id: str, whole: int, step: int) -> None:
    def send(client: Client, start: int) -> None:
        _chunk(client, upload_id, start // step, start, min(step, whole - start))

    _spread(port, at_once, range(0, whole, step), send)


def _begin(client: Client) -> str:
    return str(_data(client.post(f"{API}/upload/init/", PAIRS, b""))["upload_id"])


def _chunk(client: Client, upload_id: str, index: int, offset: int, size: int) -> None:
    """Send a chunk, a stretch of the content, as Postman does: the file first."""
    said = {"upload_id": upload_id, "chunk_index": index, "chunk_size": size}
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
    before = f'{field}file"; filename="chunk"\r\n\r\n'.encode()
    after = "".join(f'\r\n{field}{name}"\r\n\r\n{value}' for name, value in said.items()) + f"\r\n--{BOUNDARY}--\r\n"
    head = f"POST {API}/upload/chunk/ HTTP/1.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    began = time.perf_counter()
    client.socket.sendall(client.begin(head, len(before) + size + len(after)) + before)
    client.send(offset, size)
    client.socket.sendall(after.encode())
    expect(200, client.answer(began))


def _complete(client: Client, upload_id: str, chunks: int) -> str:
    said = {
        "upload_id": upload_id,
        "total_chunks": chunks,
        "total_size": 0,
        "file_extension": "mp4",
        "content_type": "video/mp4",
    }
    return str(_data(client.post(f"{API}/upload/complete/", PAIRS, urlencode(said).encode()))["id"])


def _await_success(client: Client, file_id: str) -> None:
    end = time.perf_counter() + FINISH_SECONDS
    while time.perf_counter() < end:
        status = _data(expect(200, client.ask(f"GET {API}/status/{file_id} HTTP/1.1\r\n")))["status"]
        if status == "SUCCESS":
            return
        if status == "FAILURE":
            break
        time.sleep(ASK_SECONDS)
    raise Unexpected("The file is not made after two minutes, or has failed.")


def _data(reply: Reply) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(reply.rest)["data"]
    return data


def last_byte(count: int, size: int) -> Callable[[Meter], None]:
    """Upload files one after another, and read the first byte of each as soon as it can be had."""

    def run(meter: Meter) -> None:
        found = []
        with Client(meter.server.port) as client, meter.measured(count):
            for _ in range(count):
                found.append(_until_available(client, size))
                time.sleep(REST_SECONDS)
        meter.latencies([available for _, available in found])
        meter.figures["rate"] = meter.figures["p50"]
        meter.figures["answered"] = statistics.median(answered for answered, _ in found) * 1000

    return run


def _until_available(client: Client, size: int) -> tuple[float, float]:
    """Return the seconds from the last byte of an upload to its answer, and to the answer of a download."""
    path, _ = client.create(size)
    client.socket.sendall(client.begin(f"PATCH {path} HTTP/1.1\r\n{VERSION}{OCTETS}Upload-Offset: 0\r\n", size))
    client.send(0, size)
    sent = time.perf_counter()
    answered = expect(204, client.answer(sent)).seconds
    expect(206, client.ask(f"GET {path} HTTP/1.1\r\nRange: bytes=0-0\r\n"))
    return answered, time.perf_counter() - sent


def queue(count: int) -> Callable[[Meter], None]:
    """Complete so many small files while the worker stands still, and let it go on; servers take some of them meanwhile."""

    def run(meter: Meter) -> None:
        server, total = meter.server, int(count * meter.scale)
        assert server.stack is not None
        begun = _spread(server.port, AT_ONCE, range(total), lambda client, _: _small_file(client))
        with _standing_still(server):
            _spread(server.port, AT_ONCE, begun, lambda client, upload_id: _complete(client, upload_id, 1))
            left = total - server.stack.value(COUNT_AVAILABLE)
        with meter.measured(left):
            _await_all(server.stack, total)
        meter.figures["attempts"] = server.stack.value("SELECT SUM(attempts) FROM uploads") / total

    return run


def _small_file(client: Client) -> str:
    upload_id = _begin(client)
    _chunk(client, upload_id, 0, 0, SMALL_FILE)
    return upload_id


@contextlib.contextmanager
def _standing_still(server: Server) -> Iterator[None]:
    """Stop a server's worker in the middle of what it does, and let it go on."""
    assert server.worker is not None
    assert server.worker.process is not None
    os.killpg(server.worker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.worker.process.pid, signal.SIGCONT)


def _await_all(stack: ProductionStack, total: int) -> None:
    end = time.perf_counter() + FINISH_SECONDS
    while stack.value(COUNT_AVAILABLE) < total:
        if time.perf_counter() > end:
            raise Unexpected("The queue is not empty after two minutes.")
        time.sleep(COUNT_SECONDS)


def _spread(port: int, threads: int, items: Iterable[T], work: Callable[[Client, T], R]) -> list[R]:
    """Do something with each item, in so many threads with a connection each."""
    left = shared(items)

    def some() -> list[R]:
        with Client(port) as client:
            return [work(client, item) for item in left]

    return [one for found in together(threads, some) for one in found]
