"""The engine held against a model: a bytearray. Random PATCHes, cuts, takeovers, lost processes and checkpoints."""

import asyncio
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import ChecksumMismatch, Interrupted, OffsetConflict, TusfmError
from tusfm.domain.upload import State, Upload
from tusfm.engine.appending import Append
from tusfm.engine.checksums import ALGORITHMS, Checksum
from tusfm.engine.creating import Creation
from tusfm.wiring import Engine

LENGTH = 6_000_000
SIZES = st.sampled_from([0, 1, 100, 65_536, 1_048_575, 1_048_577, 1_500_000, 2_600_000])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["well", "broken", "silent", "chunked", "right", "wrong", "late", "status", "lost process"]),
        SIZES,
        st.sampled_from([1_000, 65_536, 262_144, 3_000_000]),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=14,
)
FILE = random.Random(0).randbytes(LENGTH)  # so that a byte in the wrong place is seen


class Play:
    """One upload, two engines, and what is known of it."""

    def __init__(self, engines: list[Engine], upload_id: str) -> None:
        """Begin at 0."""
        self.engines = engines
        self.id = upload_id
        self.seen = 0  # the highest offset that anybody was told

    async def step(self, kind: str, size: int, piece: int, engine: Engine) -> None:
        """Do one thing, and check that the offset is one that a client may rely on."""
        size = min(size, LENGTH - self.seen)
        data = FILE[self.seen : self.seen + size]
        if kind == "status":
            await self.look(engine)
        elif kind == "late":
            await self.refused(engine, data, piece)
        elif kind in {"right", "wrong"}:
            await self.checksummed(engine, data, piece, right=kind == "right")
        elif kind == "silent":
            await self.taken_over(engine, data, piece)
        else:
            body = PlayedBody(
                pieces_of(data, piece),
                size=None if kind == "chunked" else size + (kind == "broken"),
                end="broken" if kind == "broken" else "well",
            )
            await self.append(engine, body, broken=kind == "broken")
        await self.look(engine)

    async def append(self, engine: Engine, body: PlayedBody, *, broken: bool) -> None:
        """Send a body; one that is broken may come to any end but an answer."""
        if body.size is not None and self.seen + body.size > LENGTH:
            return
        try:
            progress = await engine.uploads.append(Append(id=self.id, offset=self.seen, body=body))
        except Interrupted:
            assert broken
        else:
            assert progress.offset >= self.seen

    async def refused(self, engine: Engine, data: bytes, piece: int) -> None:
        """A PATCH at another offset changes nothing."""
        body = PlayedBody(pieces_of(data, piece), size=len(data))
        try:
            await engine.uploads.append(Append(id=self.id, offset=self.seen + 1, body=body))
        except TusfmError as error:
            assert not isinstance(error, OffsetConflict) or error.offset == self.seen  # noqa: PT017

    async def checksummed(self, engine: Engine, data: bytes, piece: int, *, right: bool) -> None:
        """With a checksum all of it counts, or nothing."""
        hasher = ALGORITHMS["sha1"][0]()
        hasher.update(data if right else data + b"!")
        checksum = Checksum("sha1", hasher.digest())
        body = PlayedBody(pieces_of(data, piece), size=len(data))
        before = self.seen
        try:
            await engine.uploads.append(Append(id=self.id, offset=before, checksum=checksum, body=body))
        except ChecksumMismatch:
            assert not right
            assert (await self.look(engine)).offset == before

    async def taken_over(self, engine: Engine, data: bytes, piece: int) -> None:
        """A silent sender is asked about, perhaps by another process, and loses the upload to the next one."""
        if self.seen + len(data) >= LENGTH or not data:
            return
        silent = PlayedBody(pieces_of(data, piece), size=len(data) + 1, end="silent")
        sending = asyncio.create_task(engine.uploads.append(Append(id=self.id, offset=self.seen, body=silent)))
        await asyncio.sleep(0.15)
        upload = await self.look(self.engines[0])
        if upload.state is State.RECEIVING:
            following = FILE[upload.offset : upload.offset + 10]
            body = PlayedBody([following], size=len(following))
            await self.engines[-1].uploads.append(Append(id=self.id, offset=upload.offset, body=body))
        silent.cut()
        await asyncio.wait([sending])
        assert isinstance(sending.exception(), Interrupted | None), sending.exception()

    async def look(self, engine: Engine) -> Upload:
        """Ask for the offset: it never goes back."""
        upload = await engine.uploads.status(self.id)
        assert upload.offset >= self.seen
        self.seen = upload.offset
        return upload


async def play(steps: list[tuple[str, int, int, int]], storage: MemoryStorage | None) -> None:
    """Play a game, finish the upload, compare every byte, and see that nothing is left over."""
    with tempfile.TemporaryDirectory() as folder, migrated(Path(folder)) as environ:
        async with running(environ, storage) as one, running(environ, storage) as two:
            engines = [one, two]
            made = await one.uploads.create(Creation(length=LENGTH))
            game = Play(engines, made.id)
            for kind, size, piece, which in steps:
                if kind != "lost process":
                    await game.step(kind, size, piece, engines[which])
                    continue
                async with running(environ, storage) as third:
                    await game.step("silent", size, piece, third)
            rest = FILE[game.seen :]
            await game.append(two, PlayedBody(pieces_of(rest, 262_144), size=len(rest)), broken=False)
            stored = await one.uploads.open(made.id)
            content = b"".join([piece async for piece in stored.read(0, stored.size)])
            assert content == FILE

            await one.uploads.terminate(made.id)
            await one.sweep.sweep()
            left = [key for top in ("work/", "files/") for key in [key async for key in one.storage.keys(top)]]
            assert [key for key in left if "marker" not in key] == []
            assert storage is None or not storage.unfinished


@pytest.mark.parametrize("kind", ["directory", "multipart"])
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_whatever_happens_the_offset_is_true_and_the_file_is_right(kind: str, steps: list[tuple[str, int, int, int]]) -> None:
    """An offset that was told never goes back, the file is the source, and nothing is left of it when it is deleted."""
    asyncio.run(play(steps, MemoryStorage(min_part=1_000_000) if kind == "multipart" else None))
