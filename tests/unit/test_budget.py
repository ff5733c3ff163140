"""The memory budget: bounded, fair, and without deadlock."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.bodies import PlayedBody
from tusfm.engine import appending
from tusfm.engine.appending import prompt
from tusfm.engine.budget import JOINED_BYTES, Account, Budget, Loan, add

MIB = 1024 * 1024


@dataclass
class Upload:
    """An upload that holds bytes until it is told to free them."""

    wish: int = MIB
    most: int = 100 * MIB
    spilled: int = 0
    account: Account = field(init=False)

    def travel(self) -> None:
        """Have nothing to send."""

    def shed(self) -> None:
        """Have nothing to forget."""

    def spill(self) -> None:
        """Free everything."""
        self.spilled += 1
        self.account.free(self.account.held)


def open_account(budget: Budget, **more: int) -> Upload:
    """Open an account for an upload."""
    upload = Upload(**more)
    upload.account = budget.account(upload)
    return upload


async def test_who_is_nearest_to_a_full_part_goes_on_first() -> None:
    """When memory comes free, the upload that lacks least is let in first."""
    budget = Budget(10 * MIB)
    holder, far, near = open_account(budget), open_account(budget, wish=8 * MIB), open_account(budget, wish=MIB)
    holder.account.hold(10 * MIB)
    waiting = {"far": asyncio.create_task(far.account.room()), "near": asyncio.create_task(near.account.room())}
    await asyncio.sleep(0)
    holder.account.free(MIB)
    await asyncio.wait_for(waiting["near"], 60)
    assert not waiting["far"].done()
    holder.account.free(9 * MIB)
    await asyncio.wait_for(waiting["far"], 60)


async def test_full_of_waiting_uploads_nobody_waits_for_ever() -> None:
    """When all hold memory and all wait, early tails free it, and all go on."""
    budget = Budget(8 * MIB)
    uploads = [open_account(budget) for _ in range(8)]
    for upload in uploads:
        upload.account.hold(MIB)
    await asyncio.wait_for(asyncio.gather(*(upload.account.room() for upload in uploads)), 60)
    assert any(upload.spilled for upload in uploads)


async def test_nobody_holds_more_than_a_quarter_while_others_wait() -> None:
    """An upload that holds a quarter waits while somebody else does."""
    budget = Budget(8 * MIB)
    greedy, other = open_account(budget), open_account(budget, most=0)
    greedy.account.hold(3 * MIB)
    waiting = asyncio.create_task(other.account.room())
    await asyncio.sleep(0)
    assert greedy.account.crowded
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not greedy.account.crowded


async def test_what_is_only_kept_goes_first() -> None:
    """Memory that is kept to save a read is dropped before anybody waits."""
    budget = Budget(4 * MIB)
    upload = open_account(budget)
    budget.used += 4 * MIB

    def drop() -> None:
        budget.used -= 4 * MIB

    budget.keep("idle", drop)
    await asyncio.wait_for(upload.account.room(), 60)
    assert budget.used == 0


async def test_a_small_body_is_counted_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of a body that is read before it is claimed count; when memory is used up no more of it is read."""
    monkeypatch.setattr(appending, "PROMPT_SECONDS", 3600.0)
    budget = Budget(MIB)
    first, second = Loan(budget), Loan(budget)
    pieces = [b"x" * 262_144] * 8
    assert await prompt(PlayedBody(pieces[:3], size=786_432), MIB, first)
    assert budget.used == 786_432
    assert not await prompt(PlayedBody(pieces, size=2_097_152), 4 * MIB, second)
    assert (second.size, budget.used) == (262_144, MIB)
    second.close()
    second.close()
    first.close()
    assert budget.used == 0


@given(st.lists(st.integers(1, 2 * JOINED_BYTES), max_size=200), st.integers(1, 2000))
def test_small_pieces_become_one(sizes: list[int], crumbs: int) -> None:
    """Whatever comes in whatever pieces is kept in few, in its order."""
    data = [bytes([index % 251]) * size for index, size in enumerate(sizes + [2] * crumbs)]
    pieces: list[bytes] = []
    for piece in data:
        add(pieces, piece)
    assert b"".join(pieces) == b"".join(data)
    assert len(pieces) <= 1 + 2 * sum(map(len, data)) / JOINED_BYTES
