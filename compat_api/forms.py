"""Forms as they arrive: multipart/form-data and application/x-www-form-urlencoded.

The bytes of a form's file go on piece by piece, for it usually comes first, before it is known whose they are.
Everything else of a form is small and few, or the form is broken; so what it costs is bounded, whatever is sent.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from tusfm.domain.errors import BodyBroken
from tusfm.protocol.web import RequestBody

FILE = "file"
MOST_BESIDE = 1024 * 1024  # bytes of a form that are not its file's; the old service took as many in a field
MOST_FIELDS = 100
MOST_HEADER = 8 * 1024  # bytes of one header of a part
EXTENDED_NAME = re.compile(r";\s*filename\*\s*=", re.IGNORECASE)
PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


class BrokenForm(Exception):
    """A body is not the form that it says it is, or more than one."""


class Sink(Protocol):
    """Where the bytes of a file go."""

    size: int

    async def take(self, piece: bytes, /) -> None:
        """Take the next bytes."""


Receive = Callable[[], AbstractAsyncContextManager[Sink]]


class TooLong:
    """Stands in the place of a file that went over its limit."""


@dataclass(slots=True)
class Form:
    """What a form brought: the last value of each name, a text or, where a file was asked for, the Sink that holds it.

    *whole* is False when the file went over its limit long before the end of the form, which was not read then.
    """

    fields: dict[str, object] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Forms:
    """Reads forms; a read that brings nothing for *read_timeout* seconds ends the connection (BodyBroken)."""

    read_timeout: float
    most_file: int

    @asynccontextmanager
    async def reading(self, request: web.Request, receive: Receive | None = None) -> AsyncIterator[Form]:
        """Read a request's form; *receive* makes the sink of its file, which lives as long as the context. BrokenForm.

        A body of any other type is a form without fields, and stays unread.
        """
        body, form = RequestBody(request), Form()
        kind, options = parse_options_header(request.headers.get(hdrs.CONTENT_TYPE, ""))
        async with AsyncExitStack() as stack:
            if kind == "multipart/form-data":
                parts = _Parts(form.fields, stack, receive, self.most_file)
                form.whole = await self._read_parts(body, options.get("boundary", ""), parts)
            elif kind == "application/x-www-form-urlencoded":
                form.fields.update(await self._read_pairs(body))
            yield form

    async def _read_parts(self, body: RequestBody, boundary: str, parts: "_Parts") -> bool:
        """Read to the end, or until a file is too long; a little behind that is still read, for it may be wrong too."""
        received = beside = 0
        piece = await self._next(body)
        if not piece:  # whatever it calls itself, an empty body is a form without fields
            return True
        try:
            parser = PushMultipartParser(
                boundary,
                max_segment_count=MOST_FIELDS,
                max_header_size=MOST_HEADER,
                header_charset="latin-1",  # names of files come in any charset, and are of no use here
            )
            while not parser.closed:
                received += len(piece)
                beside += len(piece) - await parts.feed(parser, piece)
                if parts.too_long and (body.size is None or beside + body.size - received > MOST_BESIDE):
                    return False
                _see_that(beside <= MOST_BESIDE)
                piece = await self._next(body)
        except MultipartError as error:
            raise BrokenForm from error
        return True

    async def _read_pairs(self, body: RequestBody) -> Mapping[str, str]:
        read = bytearray()
        while piece := await self._next(body):
            read += piece
            _see_that(len(read) <= MOST_BESIDE)
        try:
            return dict(parse_qsl(read.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
        except ValueError as error:
            raise BrokenForm from error

    async def _next(self, body: RequestBody) -> bytes:
        """Read what comes next, b"" at the end. BodyBroken."""
        try:
            async with asyncio.timeout(self.read_timeout):
                return await body.read()
        except TimeoutError as error:
            msg = "The body brought nothing for too long."
            raise BodyBroken(msg) from error


class _Parts:
    """Puts a form together out of what the parser tells, event by event."""

    def __init__(self, fields: dict[str, object], stack: AsyncExitStack, receive: Receive | None, most_file: int) -> None:
        self._fields = fields
        self._stack = stack
        self._receive = receive
        self._most_file = most_file
        self._name = ""
        self._text = bytearray()
        self._sink: Sink | TooLong | None = None

    @property
    def too_long(self) -> bool:
        """Whether the file went over its limit."""
        return isinstance(self._fields.get(FILE), TooLong)

    async def feed(self, parser: PushMultipartParser, piece: bytes) -> int:
        """Take the next bytes of the body, and return how many of them a file took. MultipartError."""
        taken = 0
        for event in parser.parse(piece):
            if isinstance(event, MultipartSegment):
                await self._begin(event)
            elif event is None:
                self._end()
            else:
                taken += await self._take(event)
        return taken

    async def _take(self, piece: bytes) -> int:
        if self._sink is None:
            self._text += piece
        elif isinstance(self._sink, TooLong):
            pass
        elif self._sink.size + len(piece) > self._most_file:
            await self._stack.aclose()
            self._sink = self._fields[FILE] = TooLong()
        else:
            await self._sink.take(piece)
            return len(piece)
        return 0

    async def _begin(self, part: MultipartSegment) -> None:
        kind, encoding = part.header("Content-Type", ""), part.header("Content-Transfer-Encoding", "")
        _see_that(not kind.lower().startswith("multipart/") and encoding.lower() in PLAIN_ENCODINGS)
        self._name, self._text, self._sink = part.name, bytearray(), None
        if self._receive is not None and part.name == FILE and _has_filename(part):
            await self._stack.aclose()  # of several files the last one counts
            sink = await self._stack.enter_async_context(self._receive())
            self._sink = self._fields[FILE] = sink

    def _end(self) -> None:
        if self._sink is None:
            try:
                self._fields[self._name] = self._text.decode()
            except UnicodeDecodeError as error:
                raise BrokenForm from error


def _has_filename(part: MultipartSegment) -> bool:
    """Tell a file from a text; some clients write the name of a file as RFC 8187 has it, and only so."""
    return part.filename is not None or EXTENDED_NAME.search(part.header("Content-Disposition", "")) is not None


def _see_that(condition: bool) -> None:  # noqa: FBT001
    if not condition:
        raise BrokenForm
