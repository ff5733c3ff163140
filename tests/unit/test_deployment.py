"""docker-compose.yml, .env.example and the Dockerfile: what can be seen without running them."""

import re

import pytest

from tests.deployment.compose import ROOT, env_file, environment, services
from tusfm.settings import load

OF_THE_OLD_DEPLOYMENT = """
    ENV APP_UPLOAD_DIR APP_MAX_CHUNK_SIZE MINIO_ROOT_USER MINIO_ROOT_PASSWORD MINIO_ACCESS_KEY MINIO_SECRET_KEY
    MINIO_PUBLIC_BUCKET MINIO_PRIVATE_BUCKET MINIO_ENDPOINT MINIO_URL MYSQL_ROOT_PASSWORD MYSQL_USER MYSQL_PASSWORD MYSQL_HOST
    MYSQL_PORT MYSQL_DATABASE MYSQL_TEST_DATABASE RABBITMQ_DEFAULT_USER RABBITMQ_DEFAULT_PASS RABBITMQ_HOST RABBITMQ_PORT
"""
VALUES = env_file()
SERVICES = services(VALUES)
BACKENDS = {"db-mysql", "rabbitmq", "minio"}


def test_the_example_has_every_name_of_the_old_deployment() -> None:
    """`.env.example` says what becomes of each name that an old `.env` has."""
    text = (ROOT / ".env.example").read_text()
    assert [name for name in OF_THE_OLD_DEPLOYMENT.split() if not re.search(rf"\b{name}\b", text)] == []


def test_the_example_is_read_by_the_server() -> None:
    """What `.env.example` holds can be read, and is the production stack."""
    settings = load(VALUES)
    assert (settings.mysql_host, settings.minio_endpoint) == ("db-mysql", "http://minio:9000")
    assert settings.rabbitmq_host == "rabbitmq"


def test_what_must_be_changed_says_so() -> None:
    """Each secret of the example is one that nobody could take for a secret."""
    secrets = {name: value for name, value in VALUES.items() if re.search("PASS|SECRET", name) and value}
    assert len(secrets) == 4
    assert all(value.startswith("change-me") for value in secrets.values())


def test_the_backends_run_elsewhere_in_production() -> None:
    """The profile `production` leaves MySQL, RabbitMQ and S3 out, and nothing insists on them."""
    assert {name for name, one in SERVICES.items() if "production" not in one["profiles"]} == BACKENDS
    for one in SERVICES.values():
        needed = one.get("depends_on", {})
        assert all(needed[name]["required"] is False for name in BACKENDS & needed.keys())


def test_only_two_ports_are_open_and_to_this_machine_only() -> None:
    """The balancer and, for links, the storage can be reached from outside; as the example stands, from this machine."""
    opened = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert opened == {"balancer": ["127.0.0.1:8000:8080"], "minio": ["127.0.0.1:9001:9000"]}


def test_servers_can_be_scaled() -> None:
    """Nothing of the server or the worker is there only once."""
    assert not {"ports", "container_name", "hostname", "volumes"} & {*SERVICES["tusfm"], *SERVICES["worker"]}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_limited_and_looked_after(name: str) -> None:
    """Each service has limits, a health check or a reason for none, a policy for restarts, and bounded logs."""
    service = SERVICES[name]
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert ("test" in service["healthcheck"]) == (name not in {"worker", "migrate"})
    assert "max-size" in service["logging"]["options"]


@pytest.mark.parametrize("name", ["tusfm", "worker"])
def test_a_stopping_process_has_time_to_drain(name: str) -> None:
    """Docker waits for longer than a process gives its requests."""
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > load(environment(SERVICES[name], VALUES)).drain_timeout + 10


@pytest.mark.parametrize("name", ["tusfm", "worker", "migrate", "balancer", "minio"])
def test_what_needs_no_rights_has_none(name: str) -> None:
    """The root file system is read-only, and no capability is left."""
    assert (SERVICES[name]["read_only"], SERVICES[name]["cap_drop"]) == (True, ["ALL"])


def test_minio_is_the_one_that_the_tests_run() -> None:
    """The image's MinIO is built from the source that the tests' own is built from, and keeps uploads for a week."""
    (version,) = re.findall(r"ARG MINIO_VERSION=(\S+)", (ROOT / "Dockerfile").read_text())
    assert f"github.com/minio/minio@{version}" in (ROOT / "tests" / "services" / "install.sh").read_text()
    assert SERVICES["minio"]["environment"]["MINIO_API_STALE_UPLOADS_EXPIRY"] == "168h"
