"""Finalization by Celery's workers, and events to a topic exchange: the production stack.

A task is one attempt. The row says when the next one is due, and whoever finds it then makes it, so Celery's own retries
and its results are not used.
"""

import json
import time
from collections.abc import Sequence

from celery import Celery
from kombu import Exchange, Producer

from tusfm.adapters.broker import Broker, BrokerAddress
from tusfm.engine.events import told
from tusfm.ports.checks import Checks
from tusfm.ports.metadata import Pending

TASK = "tusfm.finalize"
SENT_AT = "tusfm_sent_at"  # seconds since 1970, in a header of the message
SILENCE_SECONDS = 30.0  # of a broker that was asked something: connect again


def celery_app(address: BrokerAddress) -> Celery:
    """Make the Celery application."""
    app = Celery("tusfm", broker=address.connection().as_uri(include_password=True))
    app.conf.update(
        task_queues=[address.queue(no_declare=True)],
        task_default_queue=address.work,
        task_ignore_result=True,
        task_acks_late=True,  # a worker that is lost in the middle has not done it
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # an attempt is harmless twice
        broker_transport_options={"read_timeout": SILENCE_SECONDS, "write_timeout": SILENCE_SECONDS},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        tusfm_address=address,
    )
    return app


class CeleryFinalization:
    """Puts an upload's id into the workers' queue."""

    def __init__(self, broker: Broker, app: Celery) -> None:
        """Take the thread that publishes, and the application whose messages workers understand."""
        self._broker = broker
        self._app = app

    async def submit(self, upload_id: str) -> None:
        """Return when the broker has it. BrokerUnavailable."""
        where = self._broker.address.work

        def work(producer: Producer) -> None:
            sent = {SENT_AT: time.time()}
            self._app.send_task(
                TASK, (upload_id,), producer=producer, exchange=where, routing_key=where, retry=False, headers=sent
            )

        await self._broker.run(work)

    async def close(self) -> None:
        """Close the connection; the broker has what was submitted."""
        await self._broker.close()

    def checks(self) -> Checks:
        """Connect, and declare what is needed."""
        return [("broker reached", self._broker.reached)]


class BrokerEvents:
    """Publishes events as JSON to the topic exchange `tusfm.events`, each under `upload.TYPE`."""

    def __init__(self, broker: Broker) -> None:
        """Take the thread that publishes."""
        self._broker = broker

    async def publish(self, events: Sequence[Pending]) -> None:
        """Return when the broker has all of them. BrokerUnavailable."""

        def work(producer: Producer) -> None:
            for one in events:
                _publish(producer, self._broker.address.events, one)

        await self._broker.run(work)


def _publish(producer: Producer, exchange: Exchange, event: Pending) -> None:
    producer.publish(
        json.dumps(told(event)),
        exchange=exchange,
        routing_key=f"upload.{event.message.kind}",
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode="persistent",
        message_id=event.message.id,
        timestamp=event.at // 1000,
        type=event.message.kind,
    )
