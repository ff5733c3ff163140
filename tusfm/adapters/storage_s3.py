"""Storage in a bucket of any server that speaks S3: write-once objects and multipart uploads.

Nothing but plain S3 is spoken. What servers do differently is said where it is met, and in `docs/operations.md`.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from tusfm.adapters import s3_buckets
from tusfm.adapters.clocks import compare_clocks
from tusfm.adapters.s3_errors import unreachable
from tusfm.adapters.s3_links import S3Links
from tusfm.adapters.s3_requests import Requests, S3Address, Target
from tusfm.domain.errors import BytesLost, StorageUnavailable
from tusfm.ports.checks import Checks
from tusfm.ports.links import Links
from tusfm.ports.storage import Part, Pieces, Source
from tusfm.ports.watching import UNWATCHED, Watch

MIB = 1024 * 1024
MIN_PART = 5 * MIB
MOST_DELETES = 1000  # keys in one request
SLOW_SECONDS = 3.0  # a reader that leaves a piece for so long loses its connection, and gets another one when it goes on
BUCKETS = "MINIO_PRIVATE_BUCKET, MINIO_PUBLIC_BUCKET and TUSFM_S3_BUCKET"
HEADER = re.compile(r"[!-~]([ -~]*[!-~])?", re.ASCII)
FAILURES = 5  # of a read in a row without a byte between them


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where in the storage this deployment's objects lie, and how they are kept.

    *prefix* ends with a slash. Keys under `public/` and `private/` lie in these buckets, without the prefix; anyone may read
    the *public* one. Without them everything lies in *bucket*. *url* is where browsers see the server, if not where we do.
    *encryption* ("AES256", "aws:kms"), *kms_key* and *storage_class* (of files only) are passed through.
    """

    bucket: str
    prefix: str = "tusfm/"
    public: str | None = None
    private: str | None = None
    url: str | None = None
    encryption: str | None = None
    kms_key: str | None = None
    storage_class: str | None = None

    def where(self, key: str) -> tuple[str, str]:
        """Return the bucket, and the name in it, that a key stands for."""
        top, _, rest = key.partition("/")
        bucket = {"public": self.public, "private": self.private}.get(top)
        return (bucket, rest) if bucket else (self.bucket, self.prefix + key)

    def headers(self, key: str) -> dict[str, str]:
        """Return how an object is to be kept, as headers."""
        wanted = {
            "x-amz-server-side-encryption": self.encryption,
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key,
            "x-amz-storage-class": self._class_of(key),
        }
        return {name: value for name, value in wanted.items() if value}

    def parameters(self, key: str) -> dict[str, str]:
        """Return the same in the words of aiobotocore."""
        wanted = {
            "ServerSideEncryption": self.encryption,
            "SSEKMSKeyId": self.kms_key,
            "StorageClass": self._class_of(key),
        }
        return {name: value for name, value in wanted.items() if value}

    def _class_of(self, key: str) -> str | None:
        """Working objects live for minutes, and classes for rare use cost by the month."""
        return None if key.startswith("work/") else self.storage_class


class S3Storage:
    """Implements ports.storage.MultipartStorage."""

    min_part = MIN_PART

    def __init__(self, address: S3Address, place: S3Place, watch: Watch = UNWATCHED) -> None:
        """Open nothing yet."""
        self._requests = Requests(address, watch)
        self._place = place
        self.links: Links | None = S3Links(self._requests, place.url)
        self._making: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the pools, and make missing buckets as soon as the server can be reached."""
        await self._requests.start()
        buckets = [one for one in (self._place.bucket, self._place.private, self._place.public) if one]
        self._making = asyncio.create_task(s3_buckets.made(self._requests, buckets, self._place.public))
        await asyncio.wait([self._making], timeout=1)

    async def close(self) -> None:
        """Close the pools."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        await self._requests.close()

    def _target(self, key: str, **query: str) -> Target:
        return Target(*self._place.where(key), query)

    def _object(self, key: str) -> dict[str, Any]:
        bucket, name = self._place.where(key)
        return {"Bucket": bucket, "Key": name}

    async def put(self, key: str, pieces: Pieces) -> None:
        """Write an object; an answer that says so is proof that it is there."""
        await self._requests.put(self._target(key), self._place.headers(key), pieces)

    async def size(self, key: str) -> int | None:
        """Tell an object's size. A missing bucket answers the same 404 to HEAD as a missing object: ask which it is."""
        size = await self._requests.size(self._target(key))
        if size is None:
            await self._require_bucket(key)
        return size

    async def _require_bucket(self, key: str) -> None:
        """See that a key's bucket is there. StorageUnavailable: what was thought to be lost is only away."""
        bucket, _ = self._place.where(key)
        try:
            await self._requests.call("head_bucket", {"Bucket": bucket})
        except BytesLost as error:
            msg = f"the bucket {bucket} is not there; make it, or look at {BUCKETS}"
            raise StorageUnavailable(msg) from error

    @contextlib.asynccontextmanager
    async def _sure(self, *keys: str) -> AsyncIterator[None]:
        """Let BytesLost pass only while the keys' buckets are there: some servers say of a missing one that the upload is."""
        try:
            yield
        except BytesLost:
            for key in keys:
                await self._require_bucket(key)
            raise

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream a stretch; a cut connection, or one that a slow reader lost, is opened again where it ended."""
        end = start + length
        failures = 0
        while start < end:
            began = start
            try:
                async with contextlib.aclosing(self._stream(key, start, end)) as pieces:
                    async for piece in pieces:
                        start += len(piece)
                        yield piece
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures = 0 if start > began else failures + 1
                if failures >= FAILURES:
                    raise StorageUnavailable(str(unreachable(error))) from error

    async def _stream(self, key: str, start: int, end: int) -> AsyncGenerator[bytes]:
        """Stream from one response, until its end or until the reader has left a piece for too long."""
        async with self._sure(key):
            response = await self._requests.get(self._target(key), start, end)
        loop = asyncio.get_running_loop()
        try:
            if response.content_length != end - start:
                msg = "an object is shorter than it was"
                raise BytesLost(msg)
            while piece := (await response.content.readchunk())[0]:  # as it arrived, where other ways join pieces
                slow = loop.call_later(SLOW_SECONDS, response.close)
                try:
                    yield piece
                finally:
                    slow.cancel()
        finally:
            response.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand at a time."""
        if len(keys) == 1:
            await self._requests.call("delete_object", self._object(keys[0]))
            return
        by_bucket: dict[str, list[str]] = {}
        for bucket, name in map(self._place.where, keys):
            by_bucket.setdefault(bucket, []).append(name)
        for bucket, names in by_bucket.items():
            for at in range(0, len(names), MOST_DELETES):
                await self._delete(bucket, names[at : at + MOST_DELETES])

    async def _delete(self, bucket: str, some: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": name} for name in some], "Quiet": True}
        answer = await self._requests.call("delete_objects", {"Bucket": bucket, "Delete": wanted})
        failed = {one.get("Code", "") for one in answer.get("Errors", ())} - {"NoSuchKey"}
        if failed:
            msg = f"the storage does not delete ({', '.join(sorted(failed))})"
            raise StorageUnavailable(msg)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """List keys, a page at a time."""
        bucket, begin = self._place.where(prefix)
        wanted = {"Bucket": bucket, "Prefix": begin}
        while True:
            page = await self._requests.call("list_objects_v2", wanted)
            for one in page.get("Contents", ()):
                yield prefix + one["Key"][len(begin) :]
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin a multipart upload. No checksum is declared: MinIO copies no parts into one that has."""
        parameters = {**self._object(key), **self._place.parameters(key)}
        if content_type is not None and HEADER.fullmatch(content_type):
            parameters["ContentType"] = content_type
        answer = await self._requests.call("create_multipart_upload", parameters)
        return str(answer["UploadId"])

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Send a part."""
        target = self._target(key, partNumber=str(number), uploadId=multipart)
        async with self._sure(key):
            return await self._requests.put(target, {}, pieces)

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Have the server copy a part."""
        parameters = {
            **self._object(key),
            "UploadId": multipart,
            "PartNumber": number,
            "CopySource": self._object(source.key),
        }
        if not source.whole:
            parameters["CopySourceRange"] = f"bytes={source.start}-{source.start + source.length - 1}"
        async with self._sure(key, source.key):
            answer = await self._requests.call("upload_part_copy", parameters, long=True)
        return str(answer["CopyPartResult"]["ETag"])

    async def complete(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        """Make the object."""
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        parameters = {**self._object(key), "UploadId": multipart, "MultipartUpload": {"Parts": named}}
        async with self._sure(key):
            await self._requests.call("complete_multipart_upload", parameters, long=True)

    async def abort(self, key: str, multipart: str) -> None:
        """Abort; AWS says NoSuchUpload of what is gone, MinIO says nothing."""
        with contextlib.suppress(BytesLost):
            await self._requests.call("abort_multipart_upload", {**self._object(key), "UploadId": multipart})

    async def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """List multipart uploads of the whole bucket and choose, for MinIO takes a prefix for an exact key."""
        bucket, begin = self._place.where(prefix)
        wanted = {"Bucket": bucket}
        while True:
            page = await self._requests.call("list_multipart_uploads", wanted)
            for one in page.get("Uploads", ()):
                if one["Key"].startswith(begin):
                    yield prefix + one["Key"][len(begin) :], one["UploadId"]
            if not page.get("IsTruncated"):
                return
            wanted |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def checks(self) -> Checks:
        """Go the way of an upload with a probe."""
        probe = _Probe(self)
        return [
            ("bucket reached", self._reached),
            ("multipart upload begun", probe.begin),
            ("part written", probe.write),
            ("multipart upload completed", probe.complete),
            ("file deleted", probe.delete),
            ("storage's clock", self._clock),
        ]

    async def _look(self) -> dict[str, Any]:
        bucket, begin = self._place.where("work/probe/")
        wanted = {"Bucket": bucket, "Prefix": begin, "MaxKeys": 1}
        return await self._requests.call("list_objects_v2", wanted)

    async def _reached(self) -> None:
        await self._look()

    async def _clock(self) -> None:
        answer = await self._look()
        told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if told is not None:
            compare_clocks(parsedate_to_datetime(told).timestamp())


class _Probe:
    """A file of one part, made, looked at and deleted."""

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage
        self._key = f"work/probe/{secrets.token_hex(8)}"
        self._multipart = self._etag = ""

    async def begin(self) -> None:
        self._multipart = await self._storage.begin(self._key)

    async def write(self) -> None:
        self._etag = await self._storage.put_part(self._key, self._multipart, 1, [b"probe"])

    async def complete(self) -> None:
        await self._storage.complete(self._key, self._multipart, [Part(1, self._etag)])
        found = b"".join([piece async for piece in self._storage.read(self._key, 0, 5)])
        if found != b"probe":
            msg = "the storage does not give back what was written"
            raise StorageUnavailable(msg)

    async def delete(self) -> None:
        await self._storage.delete([self._key])
        if await self._storage.size(self._key) is not None:
            msg = "a deleted file is still there"
            raise StorageUnavailable(msg)
