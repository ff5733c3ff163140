"""`/metrics`: after a load that is known the figures are those of the load, whichever worker took it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.test_command_line import children
from tests.conformance.client import Client, patch_head, path_of
from tests.servers import ServerProcess
from tests.stacks import Stack

WAIT_SECONDS = 40.0
SMALL, LARGE = b"s" * 1000, b"l" * 30_000_000  # more than three parts, so that it is not put as one object


class Figures:
    """What a server says of itself at one moment."""

    def __init__(self, page: bytes) -> None:
        """Read the page."""
        self._samples = [one for family in text_string_to_metric_families(page.decode()) for one in family.samples]

    def __str__(self) -> str:
        """List them, but for the histograms' buckets."""
        return "\n".join(f"{one.name} {one.labels} {one.value}" for one in self._samples if not one.name.endswith("_bucket"))

    def __call__(self, name: str, **labels: str) -> float:
        """Sum the samples that have these labels."""
        return sum(one.value for one in self._samples if one.name == f"tusfm_{name}" and labels.items() <= one.labels.items())


async def figures(client: Client) -> Figures:
    """Read them."""
    answer = await client.ask("GET", "/metrics")
    assert answer.status == 200, answer
    return Figures(answer.body)


async def until(client: Client, true: Callable[[Figures], bool]) -> Figures:
    """Read them until they are so; what another worker holds is told every few seconds."""
    end = time.monotonic() + WAIT_SECONDS
    while not true(seen := await figures(client)):
        assert time.monotonic() < end, str(seen)
        await asyncio.sleep(0.2)
    return seen


async def load(client: Client) -> None:
    """Make three uploads, two of them whole and one of those deleted, and some requests that are refused."""
    url = await client.made(len(SMALL))
    assert (await client.patch(url, 5, SMALL)).status == 409
    assert (await client.patch(url, 0, SMALL)).status == 204
    assert await client.content(url) == SMALL
    large = await client.made(len(LARGE))
    assert (await client.patch(large, 0, LARGE)).status == 204
    assert await client.content(large) == LARGE  # waits until it is finished
    assert (await client.ask("DELETE", large)).status == 204
    await client.made(7)
    assert (await client.ask("GET", "/nothing/here")).status == 404


def loaded(seen: Figures) -> bool:
    """Tell whether these are the load's figures, and no others."""
    requests = {
        ("POST", "/files/", "201"): 3,
        ("PATCH", "/files/{id}", "204"): 2,
        ("PATCH", "/files/{id}", "409"): 1,
        ("GET", "/files/{id}", "200"): 2,
        ("DELETE", "/files/{id}", "204"): 1,
        ("GET", "none", "404"): 1,
    }
    counted = {key: seen("http_requests_total", method=key[0], route=key[1], status=key[2]) for key in requests}
    return (
        counted == requests
        and seen("http_request_seconds_count", method="PATCH", route="/files/{id}") == 3
        and seen("stored_bytes_total") == len(SMALL) + len(LARGE)
        and seen("received_bytes_total") >= len(SMALL) + len(LARGE)
        and seen("uploads_changed_total", event="created") == 3
        and seen("uploads_changed_total", event="finalized") == 2
        and seen("uploads_changed_total", event="terminated") == 1
    )


async def test_the_figures_are_those_of_the_load(server: ServerProcess, stack: Stack) -> None:
    """Requests, bytes, changes, uploads by state, transactions, and on S3 the requests to it."""
    async with Client([server.url]) as client:
        await load(client)
        queued = {"queue": "finalization"}  # it is told of when its message is read, which a deletion may overtake
        seen = await until(client, lambda now: loaded(now) and now("queue_seconds_count", **queued) >= 1)
        assert seen("database_transactions_total", outcome="done") > 0
        assert seen("database_transactions_total", outcome="unavailable") == 0
        if "MINIO_ENDPOINT" in stack.settings:
            for operation, least in (("put_object", 1), ("upload_part", 2), ("complete_multipart_upload", 1)):
                assert seen("s3_requests_total", operation=operation, outcome="done") >= least
        assert seen("memory_budget_bytes") == 268435456 * 15 // 16
        assert [seen("uploads", state=state) for state in ("available", "receiving", "terminated")] == [1, 1, 1]
        assert seen("database_up") == 1
        await until(client, lambda now: now("queue_seconds_count", queue="outbox") >= 1)
        assert seen("processes") == 1


async def test_an_upload_counts_while_it_comes(server: ServerProcess) -> None:
    """Bytes that have arrived, and the request that brings them, show before it ends; afterwards nothing is held."""
    async with Client([server.url]) as client:
        url = await client.made(2_000_000)
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, 2_000_000) + b"a" * 1_500_000)
            await until(client, lambda now: now("received_bytes_total") == 1_500_000)
            await until(client, lambda now: now("http_requests_in_flight") == 2)  # this one, and ours
            raw.reset()
        seen = await until(client, lambda now: now("http_requests_total", method="PATCH", status="499") == 1)
        assert seen("memory_budget_used_bytes") == 0
        assert seen("http_requests_in_flight") == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
async def test_workers_are_one_to_the_reader(tmp_path: Path) -> None:
    """With two workers the figures are the load's whoever is asked; one that is killed takes none of them away."""
    with ServerProcess(tmp_path / "server", arguments=["--workers", "2"]) as server:
        async with Client([server.url]) as client:
            await load(client)
            await until(client, loaded)
            await until(client, lambda now: now("processes") == 2)
            os.kill(children(server)[0], signal.SIGKILL)
        end = time.monotonic() + WAIT_SECONDS
        while len(children(server)) != 2 and time.monotonic() < end:
            await asyncio.sleep(0.1)
        async with Client([server.url]) as client:
            await until(client, lambda now: now("processes") == 2)
            for _ in range(10):
                assert loaded(await figures(client))


@pytest.mark.parametrize(("readers", "status"), [("off", 404), ("10.0.0.0/8", 403)])
async def test_who_may_read_is_a_setting(tmp_path: Path, readers: str, status: int) -> None:
    """TUSFM_METRICS is `off`, or a list of networks; by default it is this machine."""
    with ServerProcess(tmp_path / "server", {"TUSFM_METRICS": readers}) as server:
        async with Client([server.url]) as client:
            assert (await client.ask("GET", "/metrics")).status == status


async def test_what_a_proxy_passes_on_is_refused(server: ServerProcess) -> None:
    """A request from this machine that came from elsewhere is not a local one."""
    async with Client([server.url]) as client:
        for header in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"):
            assert (await client.ask("GET", "/metrics", {header: "for=127.0.0.1"})).status == 403
