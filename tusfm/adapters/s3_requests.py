"""Requests to an S3 server: the pools, signing, deadlines and retries.

Bytes go by requests of our own on aiohttp; everything else goes by aiobotocore's client.
The client would cost a millisecond a call, join the pieces of a part, and hash them with SHA-256 over plain http. Our
requests declare the payload unsigned; over http a CRC-32, which the storage verifies, guards the bytes, over https TLS does.
"""

import asyncio
import base64
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import yarl
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError
from isal.isal_zlib import crc32

from tusfm.adapters.s3_errors import Passing, code_in, refusal, translated, unreachable
from tusfm.adapters.s3_signing import Signer
from tusfm.domain.errors import BytesLost, StorageUnavailable
from tusfm.ports.storage import Pieces
from tusfm.ports.watching import UNWATCHED, Kind, Step, Watch

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
MOST_PAUSE_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 15.0
READ_BUFFER = 512 * 1024
ERROR_BYTES = 16 * 1024
HTTP_ERROR = 300
CALLS_AT_ONCE = 24  # requests without bytes
UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=None)
SIZES_AT_ONCE = 8  # questions for an object's size, beside the connections for writing
LONG_AT_ONCE = 16  # of these, so that copies do not keep a new upload waiting
TRIES = 3  # that a call's time is enough for when the storage is silent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the storage is waited for, in seconds.

    Time that bytes take does not count, nor does waiting for others' bytes: a slow storage is not made slower by repetitions.
    """

    connect: float = 3.0
    silence: float = 10.0
    """When nothing moves for so long, the request is begun again, on another connection."""
    deadline: float = 30.0
    """A request with its repetitions: a storage that starts again meanwhile is hidden from clients."""
    long: float = 600.0
    """The same for completing many parts, and copying large ones: it may take a storage minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """Where an S3 server is, and who we are to it; without *access_key* AWS's default chain of credentials says.

    *virtual_host*: the bucket stands in the host's name and not in the path. *connections*: the most for writing, and again
    for reading. *ca_file*: who signed the server's certificate, if not one of those that everybody trusts.
    """

    endpoint: str
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    virtual_host: bool = False
    connections: int = 32
    ca_file: str | None = None
    patience: Patience = Patience()


@dataclass(frozen=True, slots=True)
class Target:
    """An object, or a part of a multipart upload (its number and name are in the *query*)."""

    bucket: str
    key: str
    query: Mapping[str, str] = field(default_factory=dict)

    def url(self, address: S3Address) -> str:
        """Return its URL on this server."""
        path = quote(self.key, safe="/-_.~") + (f"?{urlencode(self.query)}" if self.query else "")
        if not address.virtual_host:
            return f"{address.endpoint}/{self.bucket}/{path}"
        scheme, _, rest = address.endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{rest}/{path}"


class Body(aiohttp.Payload):
    """Pieces as a request's body, sent one after another as they are; may be sent again."""

    def __init__(self, pieces: Pieces) -> None:
        """Count them."""
        super().__init__(pieces)
        self._size = sum(map(len, pieces))
        self.moved: Callable[[], None] = _nothing

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002  aiohttp's signature
        """Refuse: the bytes are nobody's text."""
        raise TypeError

    async def write(self, writer: Any) -> None:  # noqa: ANN401  aiohttp's own
        """Write each piece, at the speed at which the storage takes them."""
        for piece in self._value:
            await writer.write(piece)
            self.moved()


def _nothing() -> None:
    """Nobody watches."""


def checksum(pieces: Pieces) -> str:
    """Return the CRC-32 of the pieces, one after another, as S3's headers have it."""
    value = 0
    for piece in pieces:
        value = crc32(piece, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


class Requests:
    """Sends requests, again while failures may pass and their deadline is not over."""

    def __init__(self, address: S3Address, watch: Watch = UNWATCHED) -> None:
        """Open nothing yet; *watch* is told of every attempt. StorageUnavailable: AWS's own settings make no sense."""
        self.address = address
        self._watch = watch
        self._patience = address.patience
        self._session: AioSession = get_session()
        try:
            self._session.get_scoped_config()
        except BotoCoreError as error:
            raise StorageUnavailable(f"AWS's own settings cannot be used: {error}") from error
        self._guarded = address.endpoint.startswith("https://")
        self._stack = contextlib.AsyncExitStack()
        self._credentials: Any = None
        self._signer = Signer(address.region)
        self._client: Any = None
        self._writing: aiohttp.ClientSession | None = None
        self._reading: aiohttp.ClientSession | None = None
        self._long = asyncio.Semaphore(LONG_AT_ONCE)
        self._slots = asyncio.Semaphore(address.connections)
        self._answered = 0.0

    async def start(self) -> None:
        """Open the pools; no connection is made yet."""
        address = self.address
        context = ssl.create_default_context(cafile=address.ca_file) if self._guarded else None
        self._writing = await self._stack.enter_async_context(self._pool(context, address.connections + SIZES_AT_ONCE))
        self._reading = await self._stack.enter_async_context(self._pool(context, address.connections))
        given = {}
        if address.access_key:
            given = {"aws_access_key_id": address.access_key, "aws_secret_access_key": address.secret_key}
            given |= {"aws_session_token": address.session_token} if address.session_token else {}
            self._session.set_credentials(address.access_key, address.secret_key, address.session_token or None)
        client = self._session.create_client(
            "s3",
            region_name=address.region,
            endpoint_url=address.endpoint,
            verify=address.ca_file,
            config=_config(address),
            **given,
        )
        self._client = await self._stack.enter_async_context(client)

    def _pool(self, context: ssl.SSLContext | None, connections: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=context or True)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding"],
        )

    async def close(self) -> None:
        """Close the pools."""
        await self._stack.aclose()

    async def call(
        self,
        operation: str,
        parameters: Mapping[str, object],
        *,
        long: bool = False,
    ) -> dict[str, Any]:
        """Make a request without bytes by aiobotocore's client. BytesLost, StorageUnavailable, StorageFull."""
        turn = self._long if long else contextlib.nullcontext()
        seconds = self._patience.long if long else self._patience.deadline

        async def attempt() -> dict[str, Any]:
            with self._watch.step(Step(Kind.S3, operation)):
                try:
                    async with turn, asyncio.timeout(seconds / TRIES):
                        answer: dict[str, Any] = await getattr(self._client, operation)(**parameters)
                except (ClientError, BotoCoreError) as error:
                    raise translated(error) from error
                except TimeoutError as error:
                    raise unreachable(error) from error
                return answer

        return await self._persist(attempt, seconds)

    async def put(self, target: Target, headers: Mapping[str, str], pieces: Pieces) -> str:
        """Send bytes and return the etag. BytesLost, StorageUnavailable, StorageFull."""
        body = Body(pieces)
        operation = "upload_part" if target.query else "put_object"
        if not self._guarded:
            headers = {**headers, "x-amz-checksum-crc32": checksum(pieces)}

        async def attempt() -> str:
            async with self._slot():
                with self._watch.step(Step(Kind.S3, operation)):
                    async with self._moving(body), await self._send("PUT", target, headers, UNLIMITED, body) as response:
                        self._answered = asyncio.get_running_loop().time()
                        return response.headers.get("ETag", "")

        return await self._persist(attempt, self._patience.deadline)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for a connection for writing, for as long as the storage answers anybody. StorageUnavailable."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._patience.silence):
                    await self._slots.acquire()
                break
            except TimeoutError as error:
                if loop.time() - max(self._answered, began) >= self._patience.deadline:
                    raise StorageUnavailable(str(unreachable(error))) from error
        try:
            yield
        finally:
            self._slots.release()

    @contextlib.asynccontextmanager
    async def _moving(self, body: Body) -> AsyncIterator[None]:
        """Give a try up when nothing of its body, and no answer, moves for too long."""
        loop, silence = asyncio.get_running_loop(), self._patience.silence
        step = silence / 10  # a new limit costs more than a look at the clock, and pieces come by the thousand
        noted = loop.time()

        def moved() -> None:
            nonlocal noted
            now = loop.time()
            if now - noted < step:
                return
            noted = now
            with contextlib.suppress(RuntimeError):  # it is given up already
                limit.reschedule(now + silence + step)

        try:
            async with asyncio.timeout(silence) as limit:
                body.moved = moved
                yield
        except TimeoutError as error:
            raise unreachable(error) from error
        finally:
            body.moved = _nothing

    async def size(self, target: Target) -> int | None:
        """Ask for an object's size, None when the server says that it, or the bucket, is not there."""
        limits = aiohttp.ClientTimeout(sock_connect=self._patience.connect, total=self._patience.silence)

        async def attempt() -> int | None:
            try:
                with self._watch.step(Step(Kind.S3, "head_object")):
                    async with await self._send("HEAD", target, {}, limits) as response:
                        return int(response.headers["Content-Length"])
            except BytesLost:
                return None

        return await self._persist(attempt, self._patience.deadline)

    async def get(self, target: Target, start: int, end: int) -> aiohttp.ClientResponse:
        """Open the bytes [start, end) of an object; the caller closes the response. BytesLost, StorageUnavailable."""
        patience = self._patience
        limits = aiohttp.ClientTimeout(sock_connect=patience.connect, sock_read=patience.silence, total=None)
        wanted = {"Range": f"bytes={start}-{end - 1}"}

        async def attempt() -> aiohttp.ClientResponse:
            with self._watch.step(Step(Kind.S3, "get_object")):
                return await self._send("GET", target, wanted, limits)

        return await self._persist(attempt, patience.deadline)

    async def _send(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        body: Body | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a signed request once, and raise what an answer means that is an error."""
        session = self._reading if method == "GET" else self._writing
        assert session is not None
        url = target.url(self.address)
        signed = self._signer.signed(method, url, headers, await self.keys())
        try:
            response = await session.request(
                method, yarl.URL(url, encoded=True), headers=signed, data=body, timeout=limits, allow_redirects=False
            )
            if response.status < HTTP_ERROR:
                return response
            async with response:
                said = b"" if method == "HEAD" else await response.content.read(ERROR_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(error) from error
        raise refusal(response.status, code_in(said))

    async def keys(self) -> Any:  # noqa: ANN401  botocore has no types
        """Return whose keys sign. StorageUnavailable: there are none."""
        if self._credentials is None:
            try:
                self._credentials = await self._session.get_credentials()
            except BotoCoreError as error:
                raise unreachable(error) from error
            if self._credentials is None:
                raise StorageUnavailable("there are no keys for the storage; set MINIO_ACCESS_KEY and MINIO_SECRET_KEY")
        return await self._credentials.get_frozen_credentials()

    async def _persist(self, attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Try until it succeeds, fails for good, or the time since its first failure is over. Each try bounds itself."""
        loop = asyncio.get_running_loop()
        end = float("inf")
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except Passing as error:
                end = min(end, loop.time() + seconds - self._patience.silence)
                if loop.time() + pause >= end:
                    raise StorageUnavailable(str(error)) from error
                log.debug("%s; it is asked again", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  so that processes do not come together
            pause = min(2 * pause, MOST_PAUSE_SECONDS)


def _config(address: S3Address) -> AioConfig:
    """Leave retries to _persist: two systems of retries would multiply."""
    return AioConfig(
        connect_timeout=address.patience.connect,
        read_timeout=address.patience.long,
        max_pool_connections=CALLS_AT_ONCE,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "virtual" if address.virtual_host else "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connector_args={"keepalive_timeout": KEEP_ALIVE_SECONDS},
    )
