"""Seeded clients: random files by random PATCHes to random servers, through whatever breaks."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import urlsplit

from tests.chaos.ledger import Tally, Upload
from tests.conformance.client import OCTETS, VERSION, Answer, Raw, digest, encoded, noise, path_of, request

KIB, MIB = 1024, 1024 * 1024
ANSWER_SECONDS = 8.0  # then a client gives a request up
PIECE = 64 * KIB


class Lost(Exception):
    """No answer came."""


class Gone(Exception):
    """The upload is not there any more, and may be so."""


class Caller:
    """One client, with random choices of its own, and connections to random servers."""

    def __init__(self, seed: str, urls: Sequence[str], tally: Tally) -> None:
        """Take a seed, the servers, and where to write down what it does."""
        self._random = random.Random(seed)
        self._urls = urls
        self._tally = tally
        self.calm = False
        self.stopping = False

    @contextlib.asynccontextmanager
    async def _connection(self, what: str, url: str = "") -> AsyncIterator[Raw]:
        """Connect to a random server, or to the one of a URL. Lost."""
        parts = urlsplit(url or self._random.choice(self._urls))
        assert parts.hostname is not None
        assert parts.port is not None
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS), Raw(parts.hostname, parts.port) as raw:
                yield raw
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            self._tally.requests[f"{what} lost"] += 1
            raise Lost from error

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0.05, 0.4))


class Sender(Caller):
    """One that speaks tus."""

    def __init__(self, seed: str, urls: Sequence[str], tally: Tally) -> None:
        """Take a seed, the servers, and where to write down what it does."""
        super().__init__(seed, urls, tally)
        self.uploads: list[Upload] = []

    async def run(self) -> None:
        """Upload until told to stop; what was begun is finished."""
        while not self.stopping:
            with contextlib.suppress(Gone):
                await self._story()

    async def _story(self) -> None:
        if self._random.random() < 0.15:
            await self._concatenation()
            return
        home = self._random.choice(self._urls) if self._random.random() < 0.2 else ""
        size = self._random.randint(9 * MIB, 25 * MIB) if home else self._size()
        upload = self._new(size, deferred=self._random.random() < 0.25)
        upload.home, upload.starts = home, [0] if self._random.random() < 0.5 else None
        await self._create(upload)
        await self._transfer(upload)
        await self.verify(upload)
        if self._random.random() < 0.2:
            await self._delete(upload)

    def _size(self) -> int:
        kind = self._random.random()
        most = 100 if kind < 0.1 else 200 * KIB if kind < 0.4 else 6 * MIB if kind < 0.75 else 25 * MIB
        return self._random.randint(0 if kind < 0.1 else 1, most)

    def _new(self, size: int, *, deferred: bool = False) -> Upload:
        upload = Upload(noise(size, self._random.getrandbits(32)), self._tally, deferred)
        self.uploads.append(upload)
        return upload

    # Requests

    async def _ask(self, upload: Upload, method: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a whole request, on a connection of its own, to the upload's server or to a random one. Lost, Gone."""
        path = path_of(upload.url) if upload.url else "/files/"
        before = upload.seen
        try:
            async with self._connection(method, upload.home) as raw:
                head = request(method, path, {**VERSION, **headers, "Content-Length": len(body), "Connection": "close"})
                await raw.send(head + body)
                answer = await raw.answer(ANSWER_SECONDS, empty=method == "HEAD")
        except Lost:
            upload.home = upload.home and self._random.choice(self._urls)
            raise
        return self._heard(upload, method, answer, before)

    def _heard(self, upload: Upload, method: str, answer: Answer, before: int) -> Answer:
        upload.heard(method, answer)
        if answer.status == 404:
            raise Gone
        if "Upload-Offset" in answer.headers and method in {"HEAD", "PATCH"}:
            upload.saw(answer.offset, before)
        return answer

    # Creation

    async def _create(self, upload: Upload, **more: str) -> None:
        size = {"Upload-Defer-Length": "1"} if upload.deferred else {"Upload-Length": str(len(upload.data))}
        headers = {**size, **{name.replace("_", "-"): value for name, value in more.items()}}
        headers["Upload-Metadata"] = f"filename {encoded('chaos.bin')}"
        body = b""
        if upload.data and self._random.random() < 0.3:
            body = upload.data[: self._random.randint(1, len(upload.data))]
            headers |= OCTETS
        while True:
            with contextlib.suppress(Lost):
                answer = await self._ask(upload, "POST", headers, body)
                if answer.status == 201:
                    break
            await self._pause()
        upload.url, upload.sent = answer.location, len(body)
        upload.doomed = upload.id in self._tally.aborted
        upload.saw(answer.offset, 0)

    async def _concatenation(self) -> None:
        """Two or three partials, and their final, created before they are whole or after."""
        parts = [self._new(self._random.randint(1, 7 * MIB)) for _ in range(self._random.randint(2, 3))]
        for part in parts:
            await self._create(part, Upload_Concat="partial")
        early = self._random.random() < 0.5
        if not early:
            await self._transfer_all(parts)
        final = Upload(b"".join(part.data for part in parts), self._tally)
        while not final.url:
            with contextlib.suppress(Lost):
                concat = "final;" + " ".join(path_of(part.url) for part in parts)
                final.doomed = any(part.doomed for part in parts)
                answer = await self._ask(final, "POST", {"Upload-Concat": concat})
                final.url = answer.location if answer.status == 201 else ""
            await self._pause()
        if early:
            await self._transfer_all(parts)
        final.sent = final.seen = len(final.data)
        self.uploads.append(final)
        await self.verify(final, parts)

    async def _transfer_all(self, parts: Sequence[Upload]) -> None:
        """Send partials at once; one that is gone does not hold the others up."""
        for outcome in await asyncio.gather(*(self._transfer(part) for part in parts), return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Gone):
                raise outcome

    # Bytes

    async def _transfer(self, upload: Upload) -> None:
        """Send everything, whatever it takes."""
        while upload.seen < len(upload.data) or upload.deferred:
            taken = False
            with contextlib.suppress(Lost):
                taken = await self._patch(upload)
            if not (taken and upload.home):
                await self._resync(upload)

    async def _resync(self, upload: Upload) -> None:
        """Ask for the offset, until somebody says it; sometimes several at once do."""
        while True:
            with contextlib.suppress(Lost):
                answer = await self._ask(upload, "HEAD", {})
                if answer.status == 200:
                    upload.whole = None
                    return
            await self._pause()

    async def _patch(self, upload: Upload) -> bool:
        """Send some of the rest; True when it was taken. By small bodies for one server, whose tails it makes parts of."""
        rest = len(upload.data) - upload.seen
        least, most, whole = (18, 21.5, 0.01) if upload.home else (0, 23, 0.4)
        size = rest if self._random.random() < whole else min(rest, int(2 ** self._random.uniform(least, most)))
        ways = [self._plain] if self.calm or not size else [self._plain, self._checked, self._broken, self._left_open]
        weights = [40, 1, 1, 1] if upload.home else [4, 2, 3, 1]
        return await self._random.choices(ways, weights[: len(ways)])[0](upload, upload.seen, size)

    def _headers(self, upload: Upload, start: int, size: int) -> dict[str, str]:
        """Write a PATCH's; the last one of a deferred upload says the length."""
        last = {"Upload-Length": str(len(upload.data))} if upload.deferred and start + size == len(upload.data) else {}
        return {**OCTETS, "Upload-Offset": str(start), **last}

    def _took(self, upload: Upload, answer: Answer, start: int, size: int) -> bool:
        if answer.status != 204:
            return False
        if answer.offset != start + size:
            upload.violate(f"{size} bytes from {start} on were answered 204 with the offset {answer.offset}")
        upload.deferred = upload.deferred and answer.offset < len(upload.data)
        return True

    async def _plain(self, upload: Upload, start: int, size: int) -> bool:
        """Send a body at once; True when it was taken."""
        upload.sent = max(upload.sent, start + size)
        answer = await self._ask(upload, "PATCH", self._headers(upload, start, size), upload.write(start, size))
        return self._took(upload, answer, start, size)

    async def _checked(self, upload: Upload, start: int, size: int) -> bool:
        """Send a body with a checksum, which is a wrong one now and then."""
        size = min(size, 9 * MIB)
        wrong = self._random.random() < 0.2
        data = upload.data[start : start + size] if wrong else upload.write(start, size)
        claimed = digest("sha1", data + b"?" * wrong)
        upload.whole = max(start, upload.sent), start + size  # older senders' bytes may still come in before the claim
        if not wrong:
            upload.sent = max(upload.sent, start + size)
        headers = {**self._headers(upload, start, size), "Upload-Checksum": claimed}
        answer = await self._ask(upload, "PATCH", headers, data)
        if wrong and answer.status == 204:
            upload.violate("a wrong checksum was accepted")
        return self._took(upload, answer, start, size)

    async def _broken(self, upload: Upload, start: int, size: int) -> bool:
        """Announce more than is sent, and go away; by a FIN, or a RST, slowly or at once."""
        part = self._random.randint(0, size)
        async with self._connection("PATCH", upload.home) as raw:
            await self._begin(upload, raw, start, size)
            await self._trickle(upload, raw, start, upload.write(start, part))
            if self._random.random() < 0.5:
                await self._resync(upload)
            if self._random.random() < 0.5:
                raw.reset()
        return False

    async def _left_open(self, upload: Upload, start: int, size: int) -> bool:
        """Go silent in the middle; somebody else goes on; then the old connection brings nonsense."""
        part = self._random.randint(0, size - 1)
        async with self._connection("PATCH") as raw:
            await self._begin(upload, raw, start, size)
            await self._trickle(upload, raw, start, upload.write(start, part))
            await self._resync(upload)
            rest = len(upload.data) - upload.seen
            if rest and await self._plain(upload, upload.seen, self._random.randint(1, rest)):
                await raw.send(b"nonsense" * 1000)
                await asyncio.sleep(0.1)
        return False

    async def _begin(self, upload: Upload, raw: Raw, start: int, size: int) -> None:
        headers = {**VERSION, **self._headers(upload, start, size), "Content-Length": size}
        await raw.send(request("PATCH", path_of(upload.url), headers))

    async def _trickle(self, upload: Upload, raw: Raw, start: int, data: bytes) -> None:
        slow = self._random.random() < 0.3
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            upload.sent = max(upload.sent, start + at + len(piece))
            await raw.send(piece)
            if slow:
                await asyncio.sleep(self._random.uniform(0, 0.1))

    # The end

    async def again(self) -> None:
        """Everything that was whole once is whole still, whatever came after it."""
        for upload in self.uploads:
            if upload.finished and not upload.deleted and not upload.doomed:
                await self.verify(upload)

    async def verify(self, upload: Upload, parts: Sequence[Upload] = ()) -> None:
        """Download a finished upload from some server, as soon as one gives it. Gone: its parts were taken away."""
        while True:
            upload.doomed = upload.doomed or any(part.doomed for part in parts)
            with contextlib.suppress(Lost):
                answer = await self._ask(upload, "GET", {})
                if answer.status == 200:
                    upload.got(answer.body)
                    upload.tally.uploads += 1
                    return
            await self._pause()

    async def _delete(self, upload: Upload) -> None:
        while True:
            upload.deleted = True
            try:
                if (await self._ask(upload, "DELETE", {})).status == 204:
                    return
            except Gone:
                return
            except Lost:
                await self._pause()
