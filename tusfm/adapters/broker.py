"""RabbitMQ: one thread that publishes, with the broker's confirmation of each message.

kombu blocks, so it never runs in a loop; what was not confirmed is published again by whoever reads the outbox.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from amqp.exceptions import AMQPError, PreconditionFailed
from kombu import Connection, Exchange, Producer, Queue
from kombu.exceptions import KombuError

from tusfm.domain.errors import BrokerUnavailable

T = TypeVar("T")

CONNECT_SECONDS = 3.0
CONFIRM_SECONDS = 10.0
QUORUM, CLASSIC = {"x-queue-type": "quorum"}, {"x-queue-type": "classic"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where RabbitMQ is, and who we are to it."""

    host: str
    port: int
    user: str
    password: str
    prefix: str = "tusfm"
    """What the names of our queue and exchange begin with; deployments that share a broker differ in it."""

    @property
    def work(self) -> str:
        """The queue of finalizations, and the exchange that leads to it."""
        return f"{self.prefix}.finalize"

    @property
    def events(self) -> Exchange:
        """The exchange of events."""
        return Exchange(f"{self.prefix}.events", "topic", durable=True)

    def connection(self) -> Connection:
        """Describe a connection on which each publication waits for its confirmation; nothing is opened yet."""
        return Connection(
            hostname=self.host,
            port=self.port,
            userid=self.user,
            password=self.password,
            connect_timeout=CONNECT_SECONDS,
            transport_options={"confirm_publish": True, "read_timeout": CONFIRM_SECONDS, "write_timeout": CONFIRM_SECONDS},
        )

    def queue(self, arguments: dict[str, str] = QUORUM, *, no_declare: bool = False) -> Queue:
        """Describe the queue of finalizations; *no_declare*: `declare` does it, and not who reads it."""
        exchange = Exchange(self.work, "direct", durable=True)
        return Queue(self.work, exchange, self.work, durable=True, queue_arguments=arguments, no_declare=no_declare)

    def declare(self, connection: Connection) -> None:
        """Declare all. The queue is replicated, where the broker can do that and has none of the old kind already."""
        try:
            with connection.channel() as channel:
                self.queue()(channel).declare()
        except PreconditionFailed:
            with connection.channel() as channel:
                self.queue(CLASSIC)(channel).declare()
        with connection.channel() as channel:
            self.events(channel).declare()


class Broker:
    """Publishes from one thread."""

    def __init__(self, address: BrokerAddress) -> None:
        """Open nothing yet."""
        self.address = address
        self._thread = ThreadPoolExecutor(1, "broker")
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    async def close(self) -> None:
        """Let the publication in hand end."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._drop)
        await loop.run_in_executor(None, self._thread.shutdown)

    async def run(self, work: Callable[[Producer], T]) -> T:
        """Do something with a producer. BrokerUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[Producer], T]) -> T:
        try:
            return work(self._opened())
        except (AMQPError, KombuError, OSError) as error:
            self._drop()
            raise BrokerUnavailable(_words(error)) from error

    def _opened(self) -> Producer:
        if self._producer is None:
            connection = self._connection = self.address.connection()
            connection.connect()
            self.address.declare(connection)
            self._producer = Producer(connection.channel())
        return self._producer

    def _drop(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.collect(socket_timeout=1)
            except (AMQPError, KombuError, OSError) as error:
                log.debug("a broken connection to the broker did not close well: %s", error)

    async def reached(self) -> None:
        """Connect, and declare what is needed. BrokerUnavailable."""
        await self.run(lambda _: None)


def _words(error: Exception) -> str:
    name = type(error).__name__
    if name == "AccessRefused":
        return "the broker does not accept us; look at RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS"
    return f"the broker does not answer; look at RABBITMQ_HOST and RABBITMQ_PORT, and whether it runs ({name})"
