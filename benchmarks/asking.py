"""Workloads that ask and read: HEAD of uploads with many parts, concatenation, downloads, the start."""

import contextlib
import time
from collections.abc import Callable

from benchmarks import processes
from benchmarks.client import MIB, Client, Unexpected, download, expect, shared, together
from benchmarks.meter import Meter
from benchmarks.servers import DIRECT, TUSD, TUSFM
from benchmarks.storage import planted
from benchmarks.uploading import scaled

PLANTED_LENGTH = 1 << 40
PLANTED_PART = 8 * MIB
FEW_PARTS = 1000
HEADS = 500
HEAD_SECONDS = 10.0
LOOK_SECONDS = 0.01
FINISH_SECONDS = 120.0
IDLE_SECONDS = 3.0


def heads(*parts: int) -> Callable[[Meter], None]:
    """Ask for the offset of uploads that have so many parts."""

    def run(meter: Meter) -> None:
        with Client(meter.server.port) as client:
            for count in parts:
                if count > FEW_PARTS and meter.scale < 1:
                    continue  # planting them takes the peers' storage a while
                path, _ = client.create(PLANTED_LENGTH)
                plant(meter, path, count)
                found = _heads(meter, client, path)
                meter.figures["rate"] = meter.figures[f"p50 of {count}"] = sorted(found)[len(found) // 2] * 1000

    return run


def _heads(meter: Meter, client: Client, path: str) -> list[float]:
    """Ask often, but not for longer than ten seconds."""
    client.head(path)
    most = max(20, int(HEADS * meter.scale))
    found: list[float] = []
    end = time.perf_counter() + HEAD_SECONDS
    with meter.measured(1):
        while len(found) < most and time.perf_counter() < end:
            found.append(expect(200, client.head(path)).seconds)
    for name in ("cpu", "load"):
        meter.figures[name] /= len(found)
    return found


def plant(meter: Meter, path: str, count: int) -> None:
    """Give an upload so many parts without sending all their bytes."""
    server, name = meter.server, path.rpartition("/")[2]
    if server.name == TUSFM:
        _plant_rows(meter, name, count)
    if server.name == TUSFM or server.bucket is None:
        return
    if server.name == TUSD:
        key, _, multipart = name.partition("+")
    else:
        key = name
        multipart = server.bucket.client.head_object(Bucket=server.bucket.name, Key=f"{name}.info")["Metadata"]["upload-id"]
    numbers = shared(range(1, count + 1))
    bucket = server.bucket
    together(4, lambda: planted(bucket, key, multipart, lambda: next(numbers, None)))


def _plant_rows(meter: Meter, name: str, count: int) -> None:
    """Our server believes its rows; the storage has no part of them, and is not asked."""
    if meter.server.stack is None:
        return
    rows = ", ".join(
        f"('{name}', 'part', {at * PLANTED_PART}, {PLANTED_PART}, 'files/{name}/1', {at + 1}, 'planted')"
        for at in range(count)
    )
    columns = "upload_id, kind, first_byte, byte_count, object_key, number, etag"
    meter.server.stack.execute(f"INSERT INTO extents ({columns}) VALUES {rows}")
    moved = f"upload_offset = {count * PLANTED_PART}, next_part = {count + 1}"
    meter.server.stack.execute(f"UPDATE uploads SET {moved} WHERE id = '{name}'")


def concatenation(count: int, size: int) -> Callable[[Meter], None]:
    """Make one file of several that are there already."""

    def run(meter: Meter) -> None:
        each = scaled(size, meter.scale)
        with Client(meter.server.port) as client:
            paths = [_partial(client, each) for _ in range(count)]
            time.sleep(0.5)  # partials are finished beside requests
            with meter.measured(1):
                head = f"POST /files/ HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Concat: final;{' '.join(paths)}\r\n"
                reply = expect(201, client.ask(head))
                path = "/files/" + reply.headers["location"].rpartition("/")[2]
                _await_final(client, path, count * each)
        meter.figures["rate"] = meter.seconds
        meter.figures["answered"] = reply.seconds

    return run


def _partial(client: Client, size: int) -> str:
    path, _ = client.create(size, more="Upload-Concat: partial\r\n")
    client.patch(path, 0, size)
    return path


def _await_final(client: Client, path: str, size: int) -> None:
    end = time.perf_counter() + FINISH_SECONDS
    while time.perf_counter() < end:
        if client.head(path).headers.get("upload-offset") == str(size):
            return
        time.sleep(LOOK_SECONDS)
    raise Unexpected("The final upload is not complete after two minutes.")


def downloads(size: int) -> Callable[[Meter], None]:
    """Read a finished upload through the server."""

    def run(meter: Meter) -> None:
        each = scaled(size, meter.scale)
        if meter.server.name == DIRECT:
            path, port = _stored(meter, each)
        else:
            port = meter.server.port
            with Client(port) as client:
                path, _ = client.create(each)
                client.patch(path, 0, each)
        finished(port, path)
        with meter.measured(each / MIB):
            found = download(port, path)
        if found.size != each:
            raise Unexpected(f"The download has {found.size} bytes and not {each}.")

    return run


def finished(port: int, path: str) -> None:
    """Wait until an upload can be read."""
    end = time.perf_counter() + FINISH_SECONDS
    while time.perf_counter() < end:
        with contextlib.suppress(Unexpected, ConnectionError), Client(port) as client:
            client.socket.sendall(client.begin(f"GET {path} HTTP/1.1\r\nRange: bytes=0-0\r\n", 0))
            if client.answer(time.perf_counter(), leave_body=True).status in {200, 206}:
                return
        time.sleep(LOOK_SECONDS)
    raise Unexpected("The upload cannot be read after two minutes.")


def _stored(meter: Meter, size: int) -> tuple[str, int]:
    bucket = meter.server.bucket
    assert bucket is not None
    with Client(bucket.port) as client:
        expect(200, client.ask(f"PUT {bucket.signed('put_object', Key='whole')} HTTP/1.1\r\n", 0, size))
    return bucket.signed("get_object", Key="whole"), bucket.port


def start(meter: Meter) -> None:
    """Note how long a start takes (not the first one, which makes tables), and the memory of an idle process."""
    meter.server.restart()
    time.sleep(IDLE_SECONDS)
    meter.figures["rate"] = meter.server.started_in
    meter.figures["idle"] = processes.memory_mib(meter.server.pid, "VmRSS")
