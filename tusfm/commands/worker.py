"""`tusfm worker`: Celery's worker."""

import argparse
from typing import Any

from tusfm.settings import Settings


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the word to the command line."""
    worker = commands.add_parser(
        "worker",
        help="finalize uploads in the background, for RabbitMQ",
        epilog="Celery's own options are passed on: --concurrency, --queues, --loglevel, …",
    )
    worker.set_defaults(run=run)


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Work until a signal. Unusable."""
    from tusfm import worker  # noqa: PLC0415  Celery is slow to load

    worker.run(settings, options.celery)
