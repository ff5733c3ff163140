"""The schedule: what breaks, when, and for how long; all of it follows from the seed."""

import asyncio
import itertools
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.ledger import Tally, Upload, Violation
from tests.chaos.plant import Plant
from tests.servers import CommandProcess
from tests.services.s3_proxy import S3Proxy
from tusfm.adapters.storage_s3 import S3Place, S3Storage

FROZEN_SECONDS = 65.0  # longer than a lease, a heartbeat, and every timeout of a request or of a client's body
OPERATIONS = (
    *("PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"),
    *("UploadPartCopy", "HeadObject", "GetObject", "DeleteObject"),
)
WEIGHTS = {
    "kill server": 6,
    "drain server": 3,
    "freeze server": 2,
    "kill worker": 3,
    "kill MinIO": 3,
    "kill MariaDB": 3,
    "kill RabbitMQ": 1,
    "cut MariaDB": 2,
    "stall MariaDB": 2,
    "lose commits": 6,
    "stall RabbitMQ": 1,
    "fail S3": 8,
    "slow S3": 2,
    "abort a multipart upload": 2,
}


@dataclass(frozen=True)
class Blow:
    """One thing that breaks, *at* seconds from the start; *dice* decides what the kind leaves open."""

    at: float
    kind: str
    dice: float
    seconds: float

    @property
    def target(self) -> str:
        """What goes down; one blow at a time may strike it."""
        return "MinIO" if self.kind.startswith("abort") else self.kind.rpartition(" ")[2]

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.at:6.1f} s  {self.kind} ({self.dice:.3f}, {self.seconds:.1f} s)"


def schedule(seed: int, seconds: float) -> list[Blow]:
    """Draw the blows of so many seconds; the same seed draws the same."""
    rng = random.Random(f"{seed} schedule")
    blows: list[Blow] = []
    at = 1.0
    while at < seconds:
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        blows.append(Blow(at, kind, rng.random(), rng.uniform(0.2, 6)))
        at += rng.uniform(0.3, 4)
    return blows


@dataclass
class Storm:
    """Strikes a plant, blow by blow."""

    plant: Plant
    uploads: Sequence[Sequence[Upload]]
    """Of each client."""
    tally: Tally
    counts: Counter[str] = field(default_factory=Counter)
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _thawing: list[asyncio.Task[None]] = field(default_factory=list)

    async def rage(self, seed: int, seconds: float) -> None:
        """Strike, each blow at its time or as soon as its target is up again, for so long; then mend everything."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        striking = []
        for blow in schedule(seed, seconds):
            await asyncio.sleep(began + blow.at - loop.time())
            striking.append(asyncio.create_task(self._in_turn(blow, began + seconds)))
            for one in striking:
                if one.done():
                    one.result()
        await asyncio.gather(*striking)
        self.plant.heal()
        await asyncio.gather(*self._thawing)
        self._are_alive("server", "worker")

    async def _in_turn(self, blow: Blow, end: float) -> None:
        """Strike unless the storm is over before the target's turn comes; other targets may be down meanwhile."""
        async with self._turns[blow.target]:
            if asyncio.get_running_loop().time() < end:
                self.counts[blow.kind] += 1
                self._are_alive(blow.target)
                await self._strike(blow)

    def _are_alive(self, *targets: str) -> None:
        ours: dict[str, Sequence[CommandProcess]] = {"server": self.plant.servers, "worker": [self.plant.worker]}
        for process in itertools.chain.from_iterable(ours.get(target, ()) for target in targets):
            if process.process is None or process.process.poll() is not None:
                raise Violation(f"a process ended of itself: {process.log()[-500:]}")

    async def _strike(self, blow: Blow) -> None:
        plant, pause = self.plant, blow.seconds
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "kill server": lambda: self._kill(self._server(blow), pause / 2),
            "drain server": lambda: self._drain(self._server(blow)),
            "freeze server": lambda: self._freeze(self._server(blow)),
            "kill worker": lambda: self._kill(plant.worker, pause),
            "kill MinIO": lambda: self._restart(plant.minio.kill, plant.minio.start, pause),
            "kill MariaDB": lambda: self._restart(plant.mysql.kill, plant.mysql.start, pause),
            "kill RabbitMQ": lambda: self._restart(plant.rabbit.kill, plant.rabbit.start, pause),
            "cut MariaDB": lambda: self._restart(plant.to_mysql.cut, plant.to_mysql.mend, pause),
            "stall MariaDB": lambda: self._restart(plant.to_mysql.stall, plant.to_mysql.mend, pause),
            "stall RabbitMQ": lambda: self._restart(plant.to_rabbit.stall, plant.to_rabbit.mend, pause),
            "lose commits": lambda: self._lose(blow),
            "fail S3": lambda: self._fail(blow),
            "slow S3": lambda: self._slow(plant.s3, pause),
            "abort a multipart upload": lambda: self._abort(blow),
        }
        await ways[blow.kind]()

    def _server(self, blow: Blow) -> int:
        """Choose a server that does not stand still."""
        free = [number for number in range(len(self.plant.servers)) if number not in self.plant.frozen]
        return free[int(blow.dice * len(free))]

    async def _kill(self, which: int | CommandProcess, pause: float) -> None:
        process = which if isinstance(which, CommandProcess) else self.plant.servers[which]
        await asyncio.to_thread(process.kill)
        await asyncio.sleep(pause)
        process.launch()

    async def _drain(self, number: int) -> None:
        """A rolling restart's step."""
        server = self.plant.servers[number]
        status = await asyncio.to_thread(server.stop)
        if status not in {0, -signal.SIGTERM}:  # by the signal, if it had only begun to start
            raise Violation(f"a server that was asked to stop ended with {status}")
        server.launch()

    async def _freeze(self, number: int) -> None:
        """Stop a server where it stands, for longer than any of its timeouts; meanwhile the storm goes on."""
        if self.plant.frozen:
            self.counts.update({"freeze server": -1, "kill server": 1})
            await self._kill(number, 0)
            return
        process = self.plant.servers[number].process
        assert process is not None
        self.plant.frozen.add(number)
        process.send_signal(signal.SIGSTOP)

        async def thaw() -> None:
            await asyncio.sleep(FROZEN_SECONDS)
            process.send_signal(signal.SIGCONT)
            self.plant.frozen.discard(number)

        self._thawing.append(asyncio.create_task(thaw()))

    async def _restart(self, down: Callable[[], None], up: Callable[[], None], pause: float) -> None:
        await asyncio.to_thread(down)
        await asyncio.sleep(pause)
        await asyncio.to_thread(up)

    async def _lose(self, blow: Blow) -> None:
        for _ in range(1 + int(blow.dice * 5)):
            self.plant.commits.lose("", before=blow.dice * 100 % 1 < 0.3)
        await asyncio.sleep(blow.seconds / 4)
        self.plant.commits.clear()

    async def _fail(self, blow: Blow) -> None:
        rng = random.Random(blow.dice)
        for _ in range(rng.randint(1, 4)):
            how = rng.choice(["error", "slow down", "cut", "cut", "stall", "delay"])
            after = how != "delay" and rng.random() < 0.5
            seconds = blow.seconds if how in {"delay", "stall"} else 0.0
            self.plant.s3.fail(
                rng.choice(OPERATIONS), how, first=rng.randint(1, 3), many=rng.randint(1, 4), after=after, seconds=seconds
            )
        await asyncio.sleep(blow.seconds)
        self.plant.s3.faults.clear()

    async def _slow(self, s3: S3Proxy, seconds: float) -> None:
        s3.slow = 0.05
        await asyncio.sleep(seconds)
        s3.slow = 0.0

    def _doom(self, upload_id: str) -> None:
        """Write down that an upload may be gone; its client may not have been told of it yet."""
        self.tally.aborted.add(upload_id)
        known = [upload for upload in itertools.chain(*self.uploads) if upload.url and upload.id == upload_id]
        for upload in known:
            upload.doomed = True
        self.tally.unknown += not known

    async def _abort(self, blow: Blow) -> None:
        """Take some upload's parts away, as a lifecycle rule or an operator might; only then may it be gone."""
        settings = self.plant.stack.settings
        place = S3Place(bucket=settings["MINIO_PRIVATE_BUCKET"], prefix="", public=settings["MINIO_PUBLIC_BUCKET"])
        storage = S3Storage(self.plant.minio.server.address, place)
        await storage.start()
        try:
            found = [one for top in ("", "public/") async for one in storage.multiparts(top)]
            if found:
                key, multipart = found[int(blow.dice * len(found))]
                if "/files/" in key and "/l/" not in key:
                    self._doom(key.split("/")[-2])
                await storage.abort(key, multipart)
        finally:
            await storage.close()
