"""One run: clients, a storm, calm, and what must be true then.

python -m tests.chaos.run --seconds 600 --seed 7
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.chunks import ChunkSender
from tests.chaos.clients import Sender
from tests.chaos.ledger import Tally, Violation
from tests.chaos.plant import Plant, plant
from tests.chaos.storm import Storm, schedule
from tests.conformance.client import VERSION, Raw, request
from tests.stacks import apart, execute
from tusfm import wiring
from tusfm.adapters.storage_s3 import S3Storage
from tusfm.domain.upload import LIVE, Role, State
from tusfm.engine.expiration import MARKER, MULTIPARTS
from tusfm.ports.metadata import Selection
from tusfm.settings import Settings, load

SENDERS = 6
CHUNK_SENDERS = 2
CALM_SECONDS = 60.0  # in which every upload completes once everything is up again
UNFINISHED = (
    "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM uploads "
    "WHERE state = 'finalizing' OR (state = 'receiving' AND upload_offset = upload_length))"
)
ROWS = ("uploads", "extents", "composed_parts", "chunks", "chunked_files", "partials", "intents", "former_keys")


@dataclass
class Report:
    """What a run did."""

    seed: int
    seconds: float
    tally: Tally = field(default_factory=Tally)
    blows: dict[str, int] = field(default_factory=dict)
    storm: float = 0.0
    """Seconds that the blows took; one waits for the one before it, and at the end for whoever stands still."""
    calm: float = 0.0
    """Seconds from the end of the storm until the last upload was whole."""

    def __str__(self) -> str:
        """Say it in a few lines."""
        tally = self.tally
        asked = ", ".join(f"{name} {count}" for name, count in sorted(tally.requests.items()))
        struck = ", ".join(f"{name} {count}" for name, count in sorted(self.blows.items()))
        return (
            f"seed {self.seed}, {self.storm:.0f} s of storm: {tally.uploads} uploads and {tally.files} files in chunks, "
            f"{tally.compared} bytes compared, the last whole {self.calm:.1f} s after the storm\n"
            f"struck: {struck}\nanswered: {asked}"
        )


async def weather(site: Plant, seed: int, seconds: float, calm_seconds: float, chunk_senders: int) -> Report:
    """Let clients work under a storm and after it. Violation."""
    report = Report(seed, seconds)
    urls = [server.url for server in site.servers]
    tus = [Sender(f"{seed} client {number}", urls, report.tally) for number in range(SENDERS)]
    others = [ChunkSender(f"{seed} chunks {number}", urls, report.tally) for number in range(chunk_senders)]
    senders: list[Sender | ChunkSender] = [*tus, *others]
    storm = Storm(site, [sender.uploads for sender in tus], report.tally)
    work = [asyncio.create_task(sender.run()) for sender in senders]
    began = time.monotonic()
    raging = asyncio.create_task(storm.rage(seed, seconds))
    try:
        await _first([raging], work)
        report.storm = time.monotonic() - began
        report.blows = dict(storm.counts)
        for sender in senders:
            sender.calm = sender.stopping = True
        began = time.monotonic()
        try:
            async with asyncio.timeout(calm_seconds):
                await _first(work, [])
                await _settled(site)
        except TimeoutError:
            raise Violation(f"{calm_seconds:g} s after the storm there are unfinished uploads") from None
        report.calm = time.monotonic() - began
    finally:
        for task in (*work, raging):
            task.cancel()
        await asyncio.gather(*work, raging, return_exceptions=True)
    for sender in senders:
        await sender.again()
    return report


async def _first(wanted: Sequence[asyncio.Task[None]], beside: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all that is wanted, or for the first failure of anything."""
    waiting = set(wanted)
    while waiting:
        done, _ = await asyncio.wait(
            {*waiting, *(one for one in beside if not one.done())}, return_when=asyncio.FIRST_COMPLETED
        )
        for one in done:
            one.result()
        waiting -= done


async def _settled(site: Plant) -> None:
    """Wait until nothing is to be finished or published, of uploads that no client knows neither."""
    while await execute(site.database, UNFINISHED):
        await asyncio.sleep(0.5)


async def _whole(settings: Settings) -> None:
    """What is available has its object, also where the client never heard of it."""
    async with wiring.opened(settings) as engine:
        for upload in await engine.metadata.select(Selection(states=[State.AVAILABLE], limit=10**6)):
            key = upload.object_key
            if upload.role is not Role.CHUNKED and (key is None or await engine.storage.size(key) != upload.length):
                raise Violation(f"{upload.id} is available, and its object is not: {key}")


async def leaves_nothing(site: Plant) -> None:
    """After deletion of everything and a sweep there is no object, chunk, part or tail left, and a day later no row."""
    await execute(site.database, "UPDATE uploads SET expires_at = 1 WHERE state = 'failed'")  # which only time takes away
    await execute(site.database, "UPDATE duties SET held_until = 0")  # as it is a day later
    await execute(site.database, "UPDATE intents SET begun_at = 1")
    ids = str(await execute(site.database, "SELECT GROUP_CONCAT(id) FROM uploads WHERE state <> 'terminated'")).split(",")
    for upload_id in ids:
        async with Raw("127.0.0.1", site.servers[0].port) as raw:
            await raw.send(request("DELETE", f"/files/{upload_id}", {**VERSION, "Connection": "close"}))
            if (await raw.answer(30)).status not in {204, 404}:
                raise Violation(f"{upload_id} cannot be deleted")
    settings = load(site.stack.settings)
    left = await asyncio.to_thread(apart, lambda: _swept(settings))
    if left:
        raise Violation(f"left behind: {left}")
    await execute(site.database, "UPDATE uploads SET ended_at = 1")
    await asyncio.to_thread(apart, lambda: _buried(settings))
    rows = {table: await execute(site.database, f"SELECT COUNT(*) FROM {table}") for table in ROWS}
    if any(rows.values()):
        raise Violation(f"rows are left behind: {rows}")


async def _swept(settings: Settings) -> list[str]:
    """Delete, as an operator does, what no client can; sweep, and list what is left."""
    async with wiring.opened(settings) as engine:
        for upload in await engine.metadata.select(Selection(states=tuple(LIVE), limit=10**6)):
            await engine.uploads.remove(upload.id)
        await engine.sweep.sweep()
        storage = engine.storage
        left = [key for top in MULTIPARTS async for key in storage.keys(top) if MARKER not in key]
        assert isinstance(storage, S3Storage)
        return left + [key for top in MULTIPARTS async for key, _ in storage.multiparts(top)]


async def _buried(settings: Settings) -> None:
    async with wiring.opened(settings) as engine:
        while (await engine.sweep.sweep())["buried"]:
            pass


def run(
    folder: Path, seed: int, seconds: float, calm_seconds: float = CALM_SECONDS, chunk_senders: int = CHUNK_SENDERS
) -> Report:
    """Start everything, weather a storm, and look at what is left. Violation."""
    with plant(folder) as site:

        async def all_of_it() -> Report:
            report = await weather(site, seed, seconds, calm_seconds, chunk_senders)
            await asyncio.to_thread(apart, lambda: _whole(load(site.stack.settings)))
            await leaves_nothing(site)
            return report

        try:
            report = asyncio.run(all_of_it())
            if "Traceback" in site.said():
                raise Violation("a traceback was written")
        except Violation as violation:
            blows = "\n".join(map(str, schedule(seed, seconds)))
            raise Violation(f"with seed {seed}: {violation}\nlogs in {folder}; the schedule was\n{blows}") from None
        return report


def main() -> None:
    """Run as often as there are seeds; the first violation ends it, with its seed and where the logs are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", default="")
    options = parser.parse_args()
    seed = int(options.seed or secrets.randbelow(1_000_000))
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, {options.seconds:g} s; logs in {folder}", flush=True)
    try:
        print(run(folder, seed, options.seconds))
    except Violation as violation:
        sys.exit(f"VIOLATION {violation}")


if __name__ == "__main__":
    main()
