"""Workloads that upload: streams, streams in many PATCHes, small files."""

import threading
from collections.abc import Callable, Iterator

from benchmarks.client import KIB, MIB, Client, Unexpected, together
from benchmarks.meter import Meter
from benchmarks.servers import DIRECT
from benchmarks.storage import Bucket

PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 2
SMALL_FILE = 16 * KIB
AT_ONCE = 16


def scaled(size: int, scale: float) -> int:
    """Return the part of a size that a run with this scale has, in whole MiB."""
    return max(1, round(size * scale / MIB)) * MIB


def streams(count: int, size: int) -> Callable[[Meter], None]:
    """Upload so many files at once, each in one PATCH."""

    def run(meter: Meter) -> None:
        each = scaled(size, meter.scale)
        with meter.measured(count * each / MIB, syncs=True):
            if meter.server.name == DIRECT:
                _streams_direct(meter, count, each)
            else:
                together(count, lambda: _stream(meter.server.port, each, each))

    return run


def patches(size: int, step: int, share: float = 1.0) -> Callable[[Meter], None]:
    """Upload one file in PATCHes of *step* bytes; peers that are slow at it get a *share* of it."""

    def run(meter: Meter) -> None:
        part = share if meter.server.name != "tusfm" else 1.0
        each = scaled(size, meter.scale * part)
        with meter.measured(each / step, syncs=True):
            meter.latencies(_stream(meter.server.port, each, step))

    return run


def _stream(port: int, size: int, step: int) -> list[float]:
    with Client(port) as client:
        path, _ = client.create(size)
        return [client.patch(path, offset, min(step, size - offset)) for offset in range(0, size, step)]


def _streams_direct(meter: Meter, count: int, size: int) -> None:
    """Put parts straight into the storage, as many at once as our server has of each upload."""
    bucket = meter.server.bucket
    assert bucket is not None
    keys = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        with lock:
            key = f"stream-{next(keys)}"
        _multipart_direct(bucket, key, size)

    together(count, work)


def _multipart_direct(bucket: Bucket, key: str, size: int) -> None:
    name = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    numbers = iter(range(1, -(-size // PART_BYTES) + 1))
    lock = threading.Lock()
    etags = {}

    def work() -> None:
        with Client(bucket.port) as client:
            while (number := _next(numbers, lock)) is not None:
                path = bucket.signed("upload_part", Key=key, UploadId=name, PartNumber=number)
                start = (number - 1) * PART_BYTES
                reply = client.ask(f"PUT {path} HTTP/1.1\r\n", start, min(PART_BYTES, size - start))
                etags[number] = reply.headers["etag"]

    together(PARTS_IN_FLIGHT, work)
    parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
    bucket.client.complete_multipart_upload(Bucket=bucket.name, Key=key, UploadId=name, MultipartUpload={"Parts": parts})


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def small_files(count: int, *, by_patch: bool) -> Callable[[Meter], None]:
    """Upload many files of 16 KiB, 16 at once: with their creation, or by POST and PATCH."""

    def run(meter: Meter) -> None:
        total = max(AT_ONCE, int(count * meter.scale))
        left, lock = iter(range(total)), threading.Lock()
        one = _put_small if meter.server.name == DIRECT else _patch_small if by_patch else _create_small

        def work() -> list[float]:
            bucket = meter.server.bucket
            direct = meter.server.name == DIRECT and bucket is not None
            found = []
            with Client(bucket.port if direct and bucket else meter.server.port) as client:
                while (number := _next(left, lock)) is not None:
                    found.append(one(meter, client, number))
            return found

        with meter.measured(total, syncs=True):
            found = together(AT_ONCE, work)
        meter.latencies([seconds for some in found for seconds in some])

    return run


def _create_small(_: Meter, client: Client, __: int) -> float:
    return client.create(SMALL_FILE, SMALL_FILE)[1]


def _patch_small(_: Meter, client: Client, __: int) -> float:
    path, seconds = client.create(SMALL_FILE)
    return seconds + client.patch(path, 0, SMALL_FILE)


def _put_small(meter: Meter, client: Client, number: int) -> float:
    assert meter.server.bucket is not None
    path = meter.server.bucket.signed("put_object", Key=f"small-{number}")
    reply = client.ask(f"PUT {path} HTTP/1.1\r\n", 0, SMALL_FILE)
    if reply.status != 200:
        raise Unexpected(f"The storage answers {reply.status}.")
    return reply.seconds
