"""Three processes that are restarted one after another under clients: nobody notices but by coming again."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from tests.conformance.client import Client, noise, patch_head, path_of
from tests.deployments import PRODUCTION, Deployment, stack_of

T = TypeVar("T")
MIB = 1024 * 1024
STEP = 128 * 1024
IN_FLIGHT = 16 * MIB  # more than the sockets' buffers hold, on either side


@pytest.fixture
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """Run three processes on the production stack."""
    with stack_of(PRODUCTION, request, tmp_path) as stack:
        deployment = Deployment(tmp_path, stack, 3)
        deployment.start()
        yield deployment
        deployment.stop()


class Steady:
    """A client that sends at a steady pace; on 503, or a connection that is refused or cut, it goes on elsewhere."""

    def __init__(self, urls: list[str], first: int) -> None:
        """Take the processes, and which one to begin with."""
        self._urls = urls
        self._turn = first
        self.heard: Counter[int] = Counter()
        self.twice = 0
        self.breaks = 0

    async def upload(self, data: bytes) -> None:
        """Send a file, and look at it."""
        async with Client(self._urls) as client:
            url = await again(lambda: client.made(len(data)))
            offset = 0
            while offset < len(data):
                reached = await self._patch(path_of(url), data, offset)
                self._turn += 1
                answer = await again(lambda: client.head(url))
                assert answer.status == 200
                assert offset <= answer.offset <= reached
                self.breaks += answer.offset < len(data)
                self.twice += reached - answer.offset
                offset = answer.offset
            assert await again(lambda: client.content(url)) == data

    async def _patch(self, path: str, data: bytes, offset: int) -> int:
        """Send until it is all sent or the server answers; returns the offset behind what was sent."""
        with contextlib.suppress(OSError):
            async with Client([self._urls[self._turn % 3]]).raw() as raw:
                await raw.send(patch_head(path, offset, len(data) - offset))
                while offset < len(data) and not raw.reader.at_eof() and not raw.reader._buffer:  # type: ignore[attr-defined]
                    await raw.send(data[offset : offset + STEP])
                    offset += min(STEP, len(data) - offset)
                    await asyncio.sleep(0.02)
                self.heard[(await raw.answer(30)).status] += 1
        return offset


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until some process answers: a connection that is refused, or closed before an answer, is asked again elsewhere."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                return await ask()
            await asyncio.sleep(0.05)


async def test_a_rolling_restart_costs_nobody_more_than_a_retry(three: Deployment) -> None:
    """Each process is stopped and started in turn, under six senders: they hear 503 and go on, what had arrived is not
    sent again, and every file is right.
    """
    senders = [Steady(three.urls, number) for number in range(6)]
    work = [asyncio.create_task(sender.upload(noise(40 * MIB, number))) for number, sender in enumerate(senders)]
    await asyncio.sleep(1)
    for process in three.processes:
        assert await asyncio.to_thread(process.stop) == 0
        await asyncio.to_thread(process.start)
    await asyncio.gather(*work)
    heard = sum((sender.heard for sender in senders), Counter())
    assert set(heard) <= {204, 503}
    assert heard[503] > 0
    assert all(sender.twice <= IN_FLIGHT * sender.breaks for sender in senders)
