"""A client of the old API as they are in the field: forms of any order, and nothing but what the contract promises."""

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

BASE = "/api/v1/file"
INIT, CHUNK, COMPLETE, RETRY = (f"{BASE}/upload/{name}" for name in ("init", "chunk", "complete", "retry"))
SETTLED_SECONDS = 60
BOUNDARY = "----------------------------8d7f3b"
NEVER = "11111111-1111-4111-8111-111111111111"
NOT_BEGUN = "File directory not found. Please initialize first!"
BROKEN = "There was an error parsing the body"
DENIED = "Permision denied"

Parts = Sequence[tuple[str, str | bytes]]
"""Names and values; bytes are a file."""


def refusal(message: str, *errors: str) -> bytes:
    """Write the envelope of a failure."""
    return compact({"errors": list(errors), "message": message, "success": False})


def compact(value: object) -> bytes:
    """Write JSON as the old service did."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def form(parts: Parts, boundary: str = BOUNDARY) -> bytes:
    """Write a multipart form."""
    written = bytearray()
    for name, value in parts:
        named = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            written += f'{named}; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + value
        else:
            written += f"{named}\r\n\r\n{value}".encode()
        written += b"\r\n"
    return bytes(written) + f"--{boundary}--\r\n".encode()


@dataclass(frozen=True)
class Answer:
    """A response, read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """What a success brought."""
        assert self.status == 200, self
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


class Client:
    """Speaks to one server."""

    def __init__(self, base: str) -> None:
        """Take the server's URL."""
        self.base = base

    async def __aenter__(self) -> Self:
        """Open a session."""
        self.session = aiohttp.ClientSession(auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | str = "",
    ) -> Answer:
        """Send a request; a path may be a whole URL."""
        asked = query if isinstance(query, str) else urlencode(query)
        url = URL((path if path.startswith("http") else self.base + path) + (f"?{asked}" if asked else ""), encoded=True)
        async with self.session.request(
            method,
            url,
            data=io.BytesIO(body) if body else None,
            headers=headers,
            allow_redirects=False,
            skip_auto_headers={"Content-Type"},
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def post(self, path: str, parts: Parts) -> Answer:
        """Send a multipart form."""
        return await self.ask("POST", path, form(parts), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    async def post_pairs(self, path: str, parts: Parts) -> Answer:
        """Send the other kind of form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask("POST", path, urlencode(list(parts)).encode(), kind)

    async def begun(self) -> str:
        """Begin an upload."""
        return str((await self.ask("POST", f"{INIT}/")).data["upload_id"])

    async def chunk(self, upload_id: str, index: int, data: bytes) -> Answer:
        """Send a chunk as Postman does, its bytes first."""
        said = [("upload_id", upload_id), ("chunk_index", str(index)), ("chunk_size", str(len(data)))]
        return await self.post(f"{CHUNK}/", [("file", data), *said])

    async def complete(self, upload_id: str, chunks: int, **more: str) -> Answer:
        """Complete an upload."""
        said = {"total_chunks": str(chunks), "total_size": "2944531", "file_extension": "txt", "content_type": "text/plain"}
        return await self.post(f"{COMPLETE}/", list({"upload_id": upload_id, **said, **more}.items()))

    async def made(self, *chunks: bytes, **more: str) -> dict[str, Any]:
        """Upload a file and wait until it is done."""
        upload_id = await self.begun()
        for index, data in enumerate(chunks):
            assert (await self.chunk(upload_id, index, data)).status == 200
        file = (await self.complete(upload_id, len(chunks), **more)).data
        assert await self.settled(file) == "SUCCESS"
        return file

    async def status(self, file: Mapping[str, Any]) -> str:
        """Ask how far a file is, with its credential."""
        answer = await self.ask("GET", f"{BASE}/status/{file['id']}", query=file["credential"] or "")
        return str(answer.data["status"])

    async def settled(self, file: Mapping[str, Any]) -> str:
        """Wait until a file is done, or has failed."""
        async with asyncio.timeout(SETTLED_SECONDS):
            while (status := await self.status(file)) in {"PENDING", "STARTED"}:
                await asyncio.sleep(0.05)
        return status

    async def content(self, file: Mapping[str, Any]) -> bytes:
        """Download a file by its link, as somebody does who has nothing else."""
        answer = await self.ask("GET", file["download_url"])
        assert answer.status == 200, answer
        return answer.body
