"""The memory of one process, shared out among its uploads by bytes (promise 6).

Over the budget, in this order: what is kept only to save a read later is dropped; buffers that can travel as a short part
do; senders wait unread, those nearest to a full part go on first; who has waited for two seconds makes an early tail.
Whoever holds memory can free it; to do so only a few at once take more, for what they read back, so nobody waits for ever.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

PATIENCE_SECONDS = 2.0
READ_BYTES = 256 * 1024  # about what one read from a socket brings
GATHER_BYTES = 16 * 1024 * 1024  # two parts, beyond the limit
JOINED_BYTES = 4 * 1024  # beside so many, what a piece takes by itself does not count


def add(pieces: list[bytes], piece: bytes) -> None:
    """Put a piece behind others; small ones become one, for each takes some fifty bytes that nobody counts."""
    if pieces and len(pieces[-1]) + len(piece) <= JOINED_BYTES:
        pieces[-1] += piece
    else:
        pieces.append(piece)


class Holder(Protocol):
    """An upload, as the budget sees it."""

    @property
    def wish(self) -> int:
        """Bytes until it can send a full part and free its memory."""

    @property
    def most(self) -> int:
        """Bytes that it has any use for at once."""

    def travel(self) -> None:
        """Send what can travel as it is (5 MiB or more); memory is short."""

    def shed(self) -> None:
        """Free the bytes that are durable already and kept only to be gathered."""

    def spill(self) -> None:
        """Make what it holds durable in whatever way, and free it; the last resort."""


class Account:
    """What one upload holds."""

    def __init__(self, budget: "Budget", holder: Holder) -> None:
        """Use Budget.account."""
        self._budget = budget
        self.holder = holder
        self.held = 0

    def hold(self, size: int) -> None:
        """Count bytes that have arrived; they are here already, so this never waits."""
        self.held += size
        self._budget.used += size

    def free(self, size: int) -> None:
        """Count bytes that have gone, and let others in."""
        self.held -= size
        self._budget.used -= size
        self._budget.wake()

    @property
    def crowded(self) -> bool:
        """Whether the sender should be left unread for now."""
        budget = self._budget
        return budget.used >= budget.limit or self.held >= budget.share(self)

    async def room(self) -> None:
        """Wait until the upload may take more bytes."""
        while self.crowded:
            await self._budget.turn(self)

    def close(self) -> None:
        """Give back whatever is left."""
        self.free(self.held)


class Loan:
    """Bytes of one small body, from their arrival until they are placed, or given to a writer with an account of its own."""

    def __init__(self, budget: "Budget") -> None:
        """Begin with none."""
        self._budget = budget
        self.pieces: list[bytes] = []
        self.size = 0

    @property
    def refused(self) -> bool:
        """Whether the budget is used up: the body has to be received like a large one, and wait for room."""
        return self._budget.used >= self._budget.limit

    def take(self, piece: bytes) -> None:
        """Take bytes that have arrived."""
        add(self.pieces, piece)
        self.size += len(piece)
        self._budget.used += len(piece)

    def given(self) -> Iterator[bytes]:
        """Give the bytes to a writer, which counts them from now on."""
        pieces = self.pieces
        self.close()
        yield from pieces

    def close(self) -> None:
        """Forget them; idempotent."""
        size, self.size, self.pieces = self.size, 0, []
        self._budget.used -= size
        self._budget.wake()


class Budget:
    """The bytes of upload buffers that this process may hold."""

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes (TUSFM_MEMORY_BUDGET)."""
        self.limit = limit
        self.used = 0
        self._gathered = 0
        self._gathering = asyncio.Lock()
        self._freed = asyncio.Event()
        self._accounts: dict[Account, None] = {}  # the oldest first
        self._waiting: dict[Account, asyncio.Event] = {}
        self._kept: dict[str, Callable[[], object]] = {}

    def account(self, holder: Holder) -> Account:
        """Open an account."""
        account = Account(self, holder)
        self._accounts[account] = None
        return account

    def close(self, account: Account) -> None:
        """End an account and free what it holds."""
        self._accounts.pop(account, None)
        account.close()

    def share(self, account: Account) -> int:
        """Bytes that the account may hold: what it has use for, and no more than a quarter while others wait."""
        others = len(self._waiting) - (account in self._waiting)
        return min(account.holder.most, self.limit // 4) if others else account.holder.most

    def keep(self, name: str, drop: Callable[[], object]) -> None:
        """Know of memory that is kept only to save work; *drop* frees it when others need the room."""
        self._kept[name] = drop

    def forget(self, name: str) -> None:
        """The kept memory is in use again, or gone."""
        self._kept.pop(name, None)

    @contextlib.asynccontextmanager
    async def gathering(self, size: int) -> AsyncIterator[None]:
        """Count bytes that are read back, until they are sent; those that find no room come on top, few at once."""
        async with self._gathering:
            while self._gathered and self._gathered + size > GATHER_BYTES and self.used + size > self.limit:
                self._freed.clear()
                await self._freed.wait()
            self._gathered += size
            self.used += size
        try:
            yield
        finally:
            self._gathered -= size
            self.used -= size
            self.wake()

    async def turn(self, account: Account) -> None:
        """Wait for memory to come free; after two seconds make the account free its own."""
        self._press()
        event = self._waiting[account] = asyncio.Event()
        try:
            self.wake()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await event.wait()
        except TimeoutError:
            account.holder.spill()
            await event.wait()
        finally:
            self._waiting.pop(account, None)

    def wake(self) -> None:
        """Let those go on that are nearest to a full part, as far as the free bytes reach."""
        self._freed.set()
        room = self.limit - self.used
        if room <= 0:
            return
        for account in sorted(self._waiting, key=lambda one: one.holder.wish):
            if room <= 0:
                return
            if account.held < self.share(account):
                self._waiting[account].set()
                room -= max(account.holder.wish, READ_BYTES)

    def _press(self) -> None:
        while self.used >= self.limit and self._kept:
            name = next(iter(self._kept))  # the one kept longest
            self._kept.pop(name)()
        if self.used >= self.limit:
            for account in list(self._accounts):
                account.holder.travel()
        for account in list(self._accounts):
            if self.used < self.limit:
                return
            account.holder.shed()
