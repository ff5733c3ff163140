"""Seeded clients of the older API: files in chunks of any order, some of them replaced, by random servers."""

import asyncio
import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.chaos.clients import ANSWER_SECONDS, KIB, MIB, Caller, Lost
from tests.chaos.ledger import AWAY, ChunkedFile, Tally, Violation
from tests.compat.client import BASE, BOUNDARY, CHUNK, COMPLETE, INIT, RETRY, form
from tests.conformance.client import Answer, noise, request

FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
CONNECT = {"Connection": "close"}
UNDER_WAY = {"PENDING", "STARTED"}
Data = Mapping[str, Any]


class ChunkSender(Caller):
    """One that speaks the older API."""

    def __init__(self, seed: str, urls: Sequence[str], tally: Tally) -> None:
        """Take a seed, the servers, and where to write down what it does."""
        super().__init__(seed, urls, tally)
        self._files: list[ChunkedFile] = []

    async def run(self) -> None:
        """Upload until told to stop; what was begun is finished."""
        while not self.stopping:
            await self._story()

    async def _story(self) -> None:
        random = self._random
        count = random.randint(0, 6)
        file = ChunkedFile((await self._until("init", f"{INIT}/"))["upload_id"], count)
        if random.random() < 0.4:
            file.credential = {"user": str(random.randrange(1000))}
        if count and random.random() < 0.15:
            file.lacking = random.randrange(count)
        self._files.append(file)
        order = [index for index in range(count) if index != file.lacking]
        random.shuffle(order)
        await asyncio.gather(*(self._bring(file, index) for index in order))
        await self._complete(file)
        if order and random.random() < 0.3:  # it may be composed already, or be finished
            await self._chunk(file, random.choice(order), self._bytes())
        await self._settle(file)
        await self._compare(file)
        self._tally.files += 1

    def _bytes(self) -> bytes:
        random = self._random
        most = random.choices((100, 200 * KIB, 3 * MIB, 9 * MIB), (2, 4, 4, 1))[0]
        return noise(random.randint(0, most), random.getrandbits(32))

    # Requests

    async def _ask(self, what: str, method: str, target: str, body: bytes = b"", *, url: str = "") -> Answer:
        """Send a whole request, to a random server or to the one of a URL. Lost."""
        async with self._connection(what, url) as raw:
            head = request(method, target, {**CONNECT, **(FORM if body else {}), "Content-Length": len(body)})
            host = urlsplit(url).netloc or "localhost"  # a link is signed for its host
            await raw.send(head.replace(b"localhost", host.encode(), 1) + body)
            answer = await raw.answer(ANSWER_SECONDS)
        self._tally.requests[f"{what} {answer.status}"] += 1
        return answer

    async def _until(self, what: str, path: str, **fields: object) -> dict[str, Any]:
        """Send a form until it is answered 200, and return what the answer brought."""
        body = form([(name, str(value)) for name, value in fields.items()]) if fields else b""
        while True:
            with contextlib.suppress(Lost):
                answer = await self._ask(what, "POST", path, body)
                if answer.status == 200:
                    data: dict[str, Any] = json.loads(answer.body)["data"]
                    return data
                self._require(answer, AWAY)
            await self._pause()

    def _require(self, answer: Answer, allowed: Collection[int]) -> None:
        if answer.status not in allowed:
            raise Violation(f"an answer was {answer.status}: {answer.body[:200]!r}")

    # Chunks

    async def _bring(self, file: ChunkedFile, index: int) -> None:
        """Send a chunk until it is taken; then perhaps another in its place, or the beginning of one."""
        while True:
            data = self._bytes()
            while await self._chunk(file, index, data) != 200:
                await self._pause()
            if self.calm or self._random.random() < 0.6:
                return
            with contextlib.suppress(Lost):
                await self._break_off(file, index)

    async def _chunk(self, file: ChunkedFile, index: int, data: bytes) -> int | None:
        """Send a chunk; returns the status, None when no answer came."""
        status = None
        try:
            with contextlib.suppress(Lost):
                status = (await self._ask("chunk", "POST", f"{CHUNK}/", self._form(file, index, data))).status
        finally:
            file.sent(index, data, status)
        return status

    def _form(self, file: ChunkedFile, index: int, data: bytes) -> bytes:
        said = [("upload_id", file.upload_id), ("chunk_index", str(index)), ("chunk_size", str(len(data)))]
        parts: list[tuple[str, str | bytes]] = [("file", data), *said]
        return form(parts if self._random.random() < 0.7 else parts[::-1])

    async def _break_off(self, file: ChunkedFile, index: int) -> None:
        """Announce a chunk and send less of it: it must not count."""
        body = self._form(file, index, self._bytes())
        async with self._connection("broken chunk") as raw:
            head = request("POST", f"{CHUNK}/", {**CONNECT, **FORM, "Content-Length": len(body)})
            await raw.send(head + body[: self._random.randrange(len(body))])
            if self._random.random() < 0.5:
                raw.reset()

    # The file

    async def _complete(self, file: ChunkedFile) -> None:
        data = await self._until(
            "complete",
            f"{COMPLETE}/",
            upload_id=file.upload_id,
            total_chunks=file.count,
            total_size=self._random.randrange(10**9),
            file_extension="txt",
            content_type="text/plain",
            credential=json.dumps(file.credential),
        )
        if file.id and data["id"] != file.id:
            file.violate(f"it has another id, {data['id']}")
        file.id = data["id"]

    async def _get(self, file: ChunkedFile, what: str) -> Data | None:
        """Ask for the file, or its status; None when it is not told now."""
        with contextlib.suppress(Lost):
            answer = await self._ask(what, "GET", f"{BASE}/{what}/{file.id}?{urlencode(file.credential)}")
            if answer.status == 200:
                data: Data = json.loads(answer.body)["data"]
                return data
            self._require(answer, AWAY)
        return None

    async def _settle(self, file: ChunkedFile) -> None:
        """Ask how far it is until it is done; what was lacking is sent when that was noticed."""
        while True:
            data = await self._get(file, "status")
            status = data["status"] if data else "PENDING"
            if status == "SUCCESS":
                break
            if status == "FAILURE":
                await self._mend(file)
            await self._pause()
        if file.lacking is not None:
            file.violate("it is a SUCCESS without one of its chunks")
        file.finished = True
        if file.count and await self._chunk_of_finished(file) == 200:
            file.violate("a chunk was taken after SUCCESS")

    async def _mend(self, file: ChunkedFile) -> None:
        """Send the chunk that is lacking, and have the file composed again."""
        if file.lacking is None:
            file.violate("it is a FAILURE with all its chunks there")
        index, file.lacking = file.lacking, None
        data = self._bytes()
        while await self._chunk(file, index, data) != 200:
            await self._pause()
        if self._random.random() < 0.5:
            await self._complete(file)
        else:
            await self._retry(file)

    async def _retry(self, file: ChunkedFile) -> None:
        """Have it composed again; 400 says that a request whose answer was lost has begun that."""
        body = form([("file_id", file.id), ("credential", json.dumps(file.credential))])
        while True:
            with contextlib.suppress(Lost):
                answer = await self._ask("retry", "POST", RETRY, body)
                if answer.status in {200, 400}:
                    return
                self._require(answer, AWAY)
            await self._pause()

    async def _chunk_of_finished(self, file: ChunkedFile) -> int | None:
        with contextlib.suppress(Lost):
            return (await self._ask("late chunk", "POST", f"{CHUNK}/", self._form(file, 0, b"late"))).status
        return None

    async def again(self) -> None:
        """Everything that was whole once is whole still, whatever came after it."""
        for file in self._files:
            if file.finished:
                await self._compare(file)

    async def _compare(self, file: ChunkedFile) -> None:
        """Download it by its link, from the storage itself, until it is there, and compare."""
        while True:
            data = await self._get(file, "get")
            with contextlib.suppress(Lost):
                content = await self._download(data["download_url"]) if data else None
                if content is not None:
                    break
            await self._pause()
        if not file.may_be(content):
            file.violate(f"{len(content)} bytes came back, which are not its chunks")
        self._tally.compared += len(content)

    async def _download(self, url: str) -> bytes | None:
        parts = urlsplit(url)
        answer = await self._ask("download", "GET", parts.path + (f"?{parts.query}" if parts.query else ""), url=url)
        if answer.status == 200:
            return answer.body
        self._require(answer, set(range(500, 600)))  # the storage's own
        return None
