"""A proxy before MySQL that holds statements up, knows where a transaction ends, and loses a COMMIT or its answer."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy.engine import URL

from tests.servers import free_port

COMMIT = b"COMMIT"
"""The end of the last packet of a transaction, which may bring statements before it."""
ROLLBACK = b"\x03ROLLBACK"
OK, MORE_RESULTS = 0, 8
NUMBER_BYTES = {0xFC: 3, 0xFD: 4, 0xFE: 9}
"""By the first byte of a number in an answer; smaller ones have that byte alone."""


@dataclass
class Hold:
    """Something in which *statement* stands, the first after *skip* others; it waits until *meanwhile* is set."""

    statement: str
    skip: int = 0
    happened: threading.Event = field(default_factory=threading.Event)
    meanwhile: threading.Event = field(default_factory=threading.Event)

    def strikes(self, said: bytes) -> bool:
        """Tell whether it is this one's."""
        if self.happened.is_set() or self.statement.encode() not in said:
            return False
        self.skip -= 1
        return self.skip < 0

    async def wait(self) -> None:
        """Say that it happened, and wait."""
        self.happened.set()
        await asyncio.to_thread(self.meanwhile.wait)


@dataclass
class Loss(Hold):
    """The COMMIT of a transaction, lost.

    *before*: the database never hears of it. Else it has committed, and after *meanwhile* was set its answer is lost.
    """

    before: bool = False


@dataclass
class MysqlProxy:
    """Runs in a thread of its own, from start to stop."""

    server: URL
    losses: list[Loss] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    commits: int = 0
    slow: float = 0.0
    """Seconds that each question is held up."""

    def __post_init__(self) -> None:
        """Choose a port."""
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._clients: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.clear()
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lose(self, statement: str, *, before: bool = False, skip: int = 0, waits: bool = False) -> Loss:
        """Lose a COMMIT; *waits*: its answer, only when *meanwhile* is set."""
        loss = Loss(statement, skip, before=before)
        if not waits:
            loss.meanwhile.set()
        self.losses.append(loss)
        return loss

    def hold(self, statement: str) -> Hold:
        """Hold a statement up, until *meanwhile* is set."""
        hold = Hold(statement)
        self.holds.append(hold)
        return hold

    def clear(self) -> None:
        """Lose nothing more, and let everything go."""
        for one in (*self.losses, *self.holds):
            one.meanwhile.set()
        self.losses.clear()
        self.holds.clear()
        self.slow = 0.0

    async def _start(self) -> None:
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _stop(self) -> None:
        """Accept no more, cut what is open and see the tasks out: one cancelled before its first step would close nothing."""
        self._loop.remove_reader(self._listening.sockets[0].fileno())  # closed, it drops what it has just accepted
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for writer in self._clients:
                writer.transport.abort()
            await asyncio.wait(left, timeout=0.1)
        self._listening.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            there, back = await asyncio.open_connection(self.server.host, self.server.port)
            answers = asyncio.create_task(_copy(there, writer))
            with contextlib.closing(back):
                try:
                    await self._questions(reader, there, back, answers)
                finally:
                    answers.cancel()  # asyncio itself would forget it
        self._clients.remove(writer)

    async def _questions(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        """Pass the client's packets, one by one, until one is to be lost."""
        said = b""
        while True:
            head = await reader.readexactly(4)
            packet = await reader.readexactly(int.from_bytes(head[:3], "little"))
            said += packet
            if packet.endswith(COMMIT):
                self.commits += 1
                loss = next((one for one in self.losses if one.strikes(said)), None)
                if loss is not None:
                    if not loss.before:
                        answers.cancel()
                        await asyncio.wait([answers])
                        back.write(head + packet)
                        await _hear_out(there)
                    await loss.wait()
                    return
            if packet.endswith(COMMIT) or packet == ROLLBACK:
                said = b""
            hold = next((one for one in self.holds if one.strikes(packet)), None)
            if hold is not None:
                await hold.wait()
            await asyncio.sleep(self.slow)
            back.write(head + packet)
            await back.drain()


async def _hear_out(there: asyncio.StreamReader) -> None:
    """Wait until the database has answered each statement of a packet, to an empty room; none of them asks for rows."""
    more = MORE_RESULTS
    while more:
        head = await there.readexactly(4)
        packet = await there.readexactly(int.from_bytes(head[:3], "little"))
        at = 1
        for _ in ("rows changed", "number given"):
            at += NUMBER_BYTES.get(packet[at], 1)
        more = packet[0] == OK and packet[at] & MORE_RESULTS


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
