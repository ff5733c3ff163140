"""The short run; `make chaos SECONDS=600 SEED=…` makes a long one."""

import os
import shutil
from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.conftest import missing
from tests.services.s3 import binary

SECONDS = float(os.environ.get("TUSFM_TEST_CHAOS_SECONDS", "90"))
SEED = int(os.environ.get("TUSFM_TEST_CHAOS_SEED", "7"))
PATIENCE_SECONDS = 200.0  # a minute is the promise; this machine may have other work to do


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_whatever_breaks(tmp_path: Path) -> None:
    """Servers, worker, MinIO, MariaDB and RabbitMQ are killed, stopped, cut off and slowed down under clients that cut their
    connections: offsets never fall, files come back to the byte, everything is finished afterwards, DELETE leaves nothing.
    """
    for name in ("minio", "toxiproxy-server"):
        if binary(name) is None:
            missing(name)
    for name in ("mariadbd", "rabbitmq-server"):
        if shutil.which(name) is None:
            missing(name)
    print(run(tmp_path, SEED, SECONDS, PATIENCE_SECONDS, chunk_senders=0))
