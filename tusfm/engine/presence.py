"""The writers of this process, and what other processes want of them.

The row names the writer's process, so a status request or a deletion anywhere reaches it: each process asks the database
once for all its uploads, and keeps a heartbeat there, so that nobody waits for a dead one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator

from tusfm.domain.errors import Unavailable
from tusfm.domain.upload import State
from tusfm.engine.receiving import Receiver
from tusfm.ports.metadata import Heard, Metadata

LISTEN_SECONDS = 0.1
BEAT_SECONDS = 2.0  # a heartbeat is fresh for 5
TOUCH_SECONDS = 30.0  # or a tenth of the time after which uploads expire
ANSWER_SECONDS = 1.0  # how long a status request waits for the writer (rule H6)
LOOK_SECONDS = 0.05
UNHELD_SECONDS = 30.0  # no writer takes so long from its claim to its entry here

log = logging.getLogger(__name__)


class Presence:
    """Who writes here."""

    def __init__(self, metadata: Metadata, process: str, expire_after: float | None) -> None:
        """Take this process's random name, which its claims bear, and the seconds after which an upload expires."""
        self._metadata = metadata
        self.process = process
        self._receivers: dict[str, Receiver] = {}
        self._arriving: dict[str, set[asyncio.Future[None]]] = {}
        self._unheld: dict[tuple[str, int], float] = {}
        self._busy = asyncio.Event()
        self._beaten = self._touched = float("-inf")
        self._expire_after = expire_after
        self._draining = False

    @contextlib.contextmanager
    def arriving(self, upload_id: str) -> Iterator[None]:
        """Let status requests know of bytes that are read and not yet committed, nor in a receiver's hands."""
        future = asyncio.get_running_loop().create_future()
        self._arriving.setdefault(upload_id, set()).add(future)
        try:
            yield
        finally:
            self._arrived(upload_id, {future})

    def _arrived(self, upload_id: str, futures: set[asyncio.Future[None]]) -> None:
        waiting = self._arriving.get(upload_id, set())
        waiting -= futures
        if not waiting:
            self._arriving.pop(upload_id, None)
        for future in futures:
            if not future.done():
                future.set_result(None)

    async def settled(self, upload_id: str) -> None:
        """Wait until bytes that are arriving here are committed, or somebody can be asked about them; a second at most."""
        futures = self._arriving.get(upload_id)
        if futures:
            await asyncio.wait(list(futures), timeout=ANSWER_SECONDS)

    def enter(self, receiver: Receiver) -> None:
        """Register the newest writer of an upload; the one before it is fenced at once."""
        before = self._receivers.get(receiver.upload_id)
        if before is not None:
            before.fence()
        self._receivers[receiver.upload_id] = receiver
        self._arrived(receiver.upload_id, set(self._arriving.get(receiver.upload_id, ())))
        self._busy.set()
        if self._draining:
            receiver.drain()

    def leave(self, receiver: Receiver) -> None:
        """Forget a writer, unless a newer one stands in its place."""
        if self._receivers.get(receiver.upload_id) is receiver:
            del self._receivers[receiver.upload_id]
        if not self._receivers:
            self._busy.clear()

    def fence(self, upload_id: str) -> None:
        """The upload is deleted: its writer stops."""
        receiver = self._receivers.get(upload_id)
        if receiver is not None:
            receiver.fence()

    def drain(self) -> None:
        """The process stops: every writer checkpoints and ends, those that come yet as well."""
        self._draining = True
        for receiver in list(self._receivers.values()):
            receiver.drain()

    async def checkpoint(self, upload_id: str) -> None:
        """Have the upload's writer, wherever it is, commit what has arrived; a second at most.

        A database that can be read and not written cannot be asked to, and need not be: the caller reads what is there.
        """
        receiver = self._receivers.get(upload_id)
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(ANSWER_SECONDS):
                await (receiver.asked() if receiver else self._ask_elsewhere(upload_id))

    async def _ask_elsewhere(self, upload_id: str) -> None:
        wanted = await self._metadata.ask(upload_id)
        while wanted:
            await asyncio.sleep(LOOK_SECONDS)
            upload = await self._metadata.find(upload_id)
            wanted = upload is not None and upload.wanted and upload.writer_alive

    async def run(self) -> None:
        """Listen for as long as the process lives; a database that is away is asked again."""
        while True:
            await self._busy.wait()
            try:
                await self._beat()
                here = list(self._receivers.values())
                said = {heard.id: heard for heard in await self._metadata.heard(self.process)}
                for receiver in here:
                    self._hear(receiver, said.get(receiver.upload_id))
                await self._release_unheld(said.values())
            except Unavailable as error:
                log.debug("cannot listen for status requests: %s", error)
            await asyncio.sleep(LISTEN_SECONDS)

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._beaten >= BEAT_SECONDS:
            await self._metadata.beat(self.process)
            self._beaten = now
        if now - self._touched >= min(TOUCH_SECONDS, (self._expire_after or float("inf")) / 10):
            await self._metadata.touch(self.process, self._expire_after)
            self._touched = now

    async def _release_unheld(self, said: Iterable[Heard]) -> None:
        """Release rows that bear this process's name and have no writer here: the answer to a claim or a release was lost.

        Otherwise their expiry would be put off for as long as this process is busy, and status requests would wait for it.
        """
        now = asyncio.get_running_loop().time()
        unheld = [(heard.id, heard.epoch) for heard in said if heard.id not in self._receivers]
        self._unheld = {row: self._unheld.get(row, now) for row in unheld}
        for (upload_id, epoch), since in self._unheld.items():
            if now - since >= UNHELD_SECONDS:
                await self._metadata.release(upload_id, epoch)

    def _hear(self, receiver: Receiver, heard: Heard | None) -> None:
        """A row that names another writer, or none, was taken over or deleted, unless its writer has just let it go."""
        if self._receivers.get(receiver.upload_id) is not receiver or not receiver.running:
            return
        if heard is None or heard.epoch != receiver.epoch or heard.state is not State.RECEIVING:
            receiver.fence()
        elif heard.wanted:
            receiver.request_checkpoint()
