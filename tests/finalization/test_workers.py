"""What an upload becomes after its last byte, by Celery's workers; and who hears of it."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue
from sqlalchemy.engine import URL

from tests.acceptance.test_metrics import Figures
from tests.conformance.client import Client
from tests.deployments import BUCKET
from tests.servers import ServerProcess, WorkerProcess, free_port
from tests.services.rabbitmq import Rabbit, RabbitProcess
from tests.services.s3 import S3Server
from tests.services.s3_proxy import S3Proxy
from tests.stacks import ProductionStack, apart, execute, migrated, sweep
from tusfm.adapters.broker import BrokerAddress

PAGE = Path(__file__).parent.parent.parent / "docs" / "events.md"
DATA = bytes(range(256)) * 36_000  # more than a part: it needs finalizing
SIZE = len(DATA)


class Listener:
    """A subscriber with a queue of its own."""

    def __init__(self, connection: Connection, exchange: Any) -> None:
        """Bind a queue to all events."""
        self._connection = connection
        self._queue = Queue("", exchange, "upload.#", exclusive=True)
        self.heard: list[dict[str, Any]] = []

    def listen(self, until: Callable[[], bool], seconds: float = 60) -> None:
        """Take events until something is true."""

        def take(body: str, message: Any) -> None:
            said = json.loads(body) if isinstance(body, str) else body
            self.heard.append({**said, "key": message.delivery_info["routing_key"]})
            message.ack()

        end = time.monotonic() + seconds
        with Consumer(self._connection, [self._queue], callbacks=[take]):
            while not until():
                assert time.monotonic() < end, self.heard
                try:
                    self._connection.drain_events(timeout=0.2)
                except TimeoutError:
                    continue

    def types(self, upload_id: str) -> list[str]:
        """What was heard of an upload, each event once."""
        seen = {one["id"]: one["type"] for one in self.heard if one["upload_id"] == upload_id}
        return list(seen.values())


@dataclass
class Plant:
    """A server, a worker that is not started yet, and what they stand on."""

    server: ServerProcess
    worker: WorkerProcess
    broker: BrokerAddress
    s3: S3Proxy
    stack: ProductionStack
    database: URL
    figures: str

    async def uploaded(self) -> str:
        """Send a file, and return its URL."""
        async with Client([self.server.url]) as client:
            url = await client.made(SIZE, Upload_Metadata="filename ZmlsbS5tcDQ=")
            assert (await client.patch(url, 0, DATA)).status == 204
            return url

    def state(self, url: str) -> str:
        """Look into the row."""
        statement = f"SELECT state FROM uploads WHERE id = '{url[-32:]}'"
        return str(apart(lambda: execute(self.database, statement)))

    def becomes(self, url: str, state: str, seconds: float) -> float:
        """Wait for a state, and return the seconds that it took."""
        began = time.monotonic()
        while self.state(url) != state:
            assert time.monotonic() < began + seconds, self.state(url)
            time.sleep(0.02)
        return time.monotonic() - began

    def listens(self, queue: str) -> bool:
        """Tell whether somebody takes messages from a queue."""
        with self.broker.connection() as connection, connection.channel() as channel:
            with contextlib.suppress(*connection.channel_errors):
                return bool(channel.queue_declare(queue, passive=True).consumer_count)
            return False

    def whole(self, url: str) -> None:
        """The file has its bytes, and nothing else is left in storage."""
        assert urllib.request.urlopen(url, timeout=20).read() == DATA
        sweep(self.stack)
        assert list(self.stack.objects().values()) == [SIZE]

    def sees_the_worker_finish(self) -> None:
        """File after file is finished at once, and the worker's page counts them, and how long tasks waited.

        What its tasks do not finish, the server and the worker's child find only every five seconds each.
        """
        end = time.monotonic() + 60
        soon = 0
        while soon < 4:
            assert time.monotonic() < end, self.worker.log()
            soon = soon + 1 if self.becomes(apart(self.uploaded), "available", 60) < 1.5 else 0
        with urllib.request.urlopen(self.figures, timeout=20) as page:
            seen = Figures(page.read())
        assert seen("queue_seconds_count", queue="finalization")
        assert seen("database_transactions_total", outcome="done")
        assert seen("finalizations_total", outcome="available")


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[RabbitProcess]:
    """Start a broker of the test's own, which it may kill."""
    process = RabbitProcess(tmp_path)
    try:
        process.start()
        yield process
    finally:
        process.close()


@pytest.fixture
def plant(request: pytest.FixtureRequest, mysql_server: URL, minio_server: S3Server, tmp_path: Path) -> Iterator[Plant]:
    """Start a server; with the broker of the test's own if it has one, else with that of all tests, under other names."""
    own = "rabbit" in request.fixturenames
    broker: Rabbit = request.getfixturevalue("rabbit").rabbit if own else request.getfixturevalue("rabbitmq_server")
    prefix = "tusfm" if own else f"test-{secrets.token_hex(4)}"
    with ExitStack() as ending:
        url = ending.enter_context(migrated(mysql_server))
        proxy = ending.enter_context(S3Proxy(minio_server))
        stack = ProductionStack(url, proxy.proxied, BUCKET)
        stack.settings |= broker.settings(prefix)
        server = ServerProcess(tmp_path / "server", stack.settings)
        figures = f"127.0.0.1:{free_port()}"
        worker = WorkerProcess(tmp_path / "worker", {**stack.settings, "TUSFM_WORKER_METRICS": figures})
        server.start()
        ending.push(server)
        ending.push(worker)
        yield Plant(server, worker, replace(broker.address, prefix=prefix), proxy, stack, url, f"http://{figures}/metrics")


async def test_a_worker_finishes_and_everybody_hears_of_it(plant: Plant) -> None:
    """The worker finishes; created, finalized and terminated come as JSON to whoever listens."""
    plant.worker.start()
    with plant.broker.connection() as connection:
        listener = Listener(connection, plant.broker.events)
        uploads: list[str] = []

        def send() -> bool:
            if not uploads:
                uploads.append(apart(plant.uploaded))
                plant.becomes(uploads[0], "available", 60)
                urllib.request.urlopen(
                    urllib.request.Request(uploads[0], method="DELETE", headers={"Tus-Resumable": "1.0.0"}), timeout=60
                ).close()
            return len(listener.types(uploads[0][-32:])) >= 3

        await asyncio.to_thread(listener.listen, send)
    upload_id = uploads[0][-32:]
    assert sorted(listener.types(upload_id)) == ["created", "finalized", "terminated"]
    finalized = next(one for one in listener.heard if one["type"] == "finalized")
    assert (finalized["key"], finalized["size"], finalized["offset"]) == ("upload.finalized", SIZE, SIZE)
    assert finalized["metadata"] == {"filename": "film.mp4"}
    assert finalized["time"].endswith("Z")
    await asyncio.to_thread(plant.sees_the_worker_finish)


async def test_the_broker_is_away_when_an_upload_ends(plant: Plant, rabbit: RabbitProcess) -> None:
    """Nothing needs the broker: the server finishes what no worker heard of; events come when the broker is back."""
    rabbit.kill()
    url = await plant.uploaded()
    plant.becomes(url, "available", 60)
    plant.whole(url)
    server = plant.server.process
    assert server is not None
    server.send_signal(signal.SIGSTOP)  # else it may publish before anybody listens
    rabbit.start()
    with plant.broker.connection() as connection:
        listener = Listener(connection, plant.broker.events)

        def heard() -> bool:
            server.send_signal(signal.SIGCONT)
            return "finalized" in listener.types(url[-32:])

        await asyncio.to_thread(listener.listen, heard)
    end = time.monotonic() + 60
    while int(str(apart(lambda: execute(plant.database, "SELECT COUNT(*) FROM outbox")))):
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def test_the_broker_dies_with_messages_in_it(plant: Plant, rabbit: RabbitProcess) -> None:
    """What the broker held when it was killed is done all the same, and once it is back workers go on by themselves."""
    plant.worker.start()
    await asyncio.sleep(6)  # RabbitMQ writes a new queue's name to disk some seconds after it was declared
    plant.s3.fail("CompleteMultipartUpload", "delay", seconds=1.0, many=100)
    urls = [await plant.uploaded() for _ in range(4)]
    rabbit.kill()
    for url in urls:
        plant.becomes(url, "available", 60)
    rabbit.start()
    plant.s3.clear()
    before = plant.worker.log().count("succeeded")
    end = time.monotonic() + 40
    while plant.worker.log().count("succeeded") == before:
        assert time.monotonic() < end, plant.worker.log() + plant.server.log()
        url = await plant.uploaded()
        plant.becomes(url, "available", 60)


async def test_a_worker_that_is_killed_in_the_middle(plant: Plant) -> None:
    """SIGKILL while the object is completed: its lease runs out, somebody goes on, and nothing is left behind."""
    plant.worker.start()
    plant.s3.fail("CompleteMultipartUpload", "delay", seconds=3.0)
    url = await plant.uploaded()
    async with asyncio.timeout(60):
        while plant.s3.counts["CompleteMultipartUpload"] == 0:
            await asyncio.sleep(0.02)
    plant.worker.kill()
    plant.worker.start()
    plant.becomes(url, "available", 80)
    plant.whole(url)


@pytest.mark.usefixtures("rabbit")
def test_the_consumer_of_the_page(plant: Plant) -> None:
    """The consumer that docs/events.md shows hears of a finished file, as it stands there."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    text = found[1].replace("localhost//", f"127.0.0.1:{plant.broker.port}//")
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env=environ) as consumer:
        try:
            plant.worker.start()
            plant.worker.await_(lambda: plant.listens("my-service"))
            url = apart(plant.uploaded)
            assert consumer.stdout is not None
            assert consumer.stdout.readline().split() == ["finalized", url[-32:], "film.mp4"]
        finally:
            consumer.kill()


async def test_two_workers_with_the_same_task(plant: Plant) -> None:
    """A task that is delivered twice is done once: one lease, one event."""
    plant.worker.start()
    second = WorkerProcess(plant.server.folder.parent / "second", plant.stack.settings)
    second.start()
    try:
        plant.s3.fail("CompleteMultipartUpload", "delay", seconds=1.0)
        url = await plant.uploaded()
        with plant.broker.connection() as connection:
            from tusfm.adapters.finalization_celery import TASK, celery_app  # noqa: PLC0415  Celery is slow to load

            work = plant.broker.work
            for _ in range(5):
                celery_app(plant.broker).send_task(TASK, (url[-32:],), exchange=work, routing_key=work)
            listener = Listener(connection, plant.broker.events)
            await asyncio.to_thread(listener.listen, lambda: plant.state(url) == "available")
        assert plant.s3.counts["CompleteMultipartUpload"] == 1
        plant.whole(url)
    finally:
        second.__exit__()


async def test_a_queue_of_the_old_kind(plant: Plant) -> None:
    """Where the queue is there as a classic one already, both sides use it as it is."""
    with plant.broker.connection() as connection, connection.channel() as channel:
        channel.queue_delete(plant.broker.work)
        plant.broker.queue({"x-queue-type": "classic"})(channel).declare()
    plant.worker.start()
    url = await plant.uploaded()
    plant.becomes(url, "available", 60)
    await asyncio.to_thread(plant.sees_the_worker_finish)


async def test_a_worker_waits_for_what_is_away(plant: Plant, rabbit: RabbitProcess) -> None:
    """A worker starts without the broker, says what it waits for, and works when it comes; SIGTERM ends it with 0."""
    rabbit.kill()
    plant.worker.start(wait=False)
    plant.worker.await_(lambda: "Cannot connect to amqp://" in plant.worker.log())
    rabbit.start()
    plant.worker.await_(lambda: " ready." in plant.worker.log())
    url = await plant.uploaded()
    plant.becomes(url, "available", 60)
    assert plant.worker.stop() == 0
    with plant.broker.connection() as connection, connection.channel() as channel:
        assert channel.queue_declare(plant.broker.work, passive=True).message_count == 0
