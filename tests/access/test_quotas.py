"""Quotas over real HTTP, with three server processes on one stack."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.access.tokens import SECRET, token
from tests.compat.client import Client as ChunkClient
from tests.compat.client import refusal
from tests.conformance.client import Client, encoded
from tests.deployments import STACKS, Deployment, stack_of

pytestmark = pytest.mark.xdist_group("access")
QUOTAS = {
    "TUSFM_QUOTA_BYTES": "1000",
    "TUSFM_QUOTA_UNFINISHED": "20",
    "TUSFM_QUOTA_PER_MINUTE": "40",
    "TUSFM_QUOTA_TOTAL": "6000",
    "TUSFM_ALLOWED_TYPES": "text/*",
    "TUSFM_ALLOWED_NAMES": "*.txt",
}
KIND = {"Upload-Metadata": f"filename {encoded('a.TXT')},filetype {encoded('text/plain')}"}


@pytest.fixture(scope="module", params=STACKS)
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Start three processes."""
    folder = tmp_path_factory.mktemp("quotas")
    with stack_of(request.param, request, folder) as stack:
        settings = {"TUSFM_AUTH": "jwt", "TUSFM_JWT_KEY": SECRET, **QUOTAS}
        deployment = Deployment(folder, stack, 3, settings)
        deployment.start()
        yield deployment
        deployment.stop()


@pytest.fixture
async def client(servers: Deployment) -> AsyncIterator[Client]:
    """Speak to each process in turn."""
    async with Client(servers.urls) as one:
        yield one


def of(owner: str) -> dict[str, str]:
    """Return the headers of an owner, and what makes a file that is taken."""
    return {"Authorization": f"Bearer {token(sub=owner)}", **KIND}


async def test_parallel_creations_never_get_over(client: Client) -> None:
    """Of thirty creations at once in three processes ten fit; what is deleted makes room for another."""
    done = await asyncio.gather(*(client.create(100, headers=of("racer")) for _ in range(30)))
    assert sorted(answer.status for answer in done) == [201] * 10 + [413] * 20
    refused = next(answer for answer in done if answer.status == 413)
    assert refused.body == b"Your uploads may have 1000 bytes together, and 1000 of them are taken.\n"
    made = [answer.location for answer in done if answer.status == 201]
    assert (await client.ask("DELETE", made[0])).status == 204
    assert [(await client.create(100, headers=of("racer"))).status for _ in range(2)] == [201, 413]
    for url in made[1:]:
        assert (await client.patch(url, 0, b"x" * 100)).status == 204
    assert (await client.create(1, headers=of("racer"))).status == 413


async def test_an_undeclared_length_keeps_to_it(client: Client, servers: Deployment) -> None:
    """A body over the quota is refused before it is read, or once it is over; what was acknowledged stays."""
    rows = servers.rows()
    assert (await client.create(None, b"x" * 1001, of("streamer"))).status == 413
    assert servers.rows() == rows
    url = (await client.create(None, headers=of("streamer"))).location
    assert (await client.patch(url, 0, b"x" * 1001)).status == 413
    assert (await client.patch(url, 0, b"x" * 600)).status == 204
    assert (await client.patch(url, 600, b"x" * 401)).status == 413

    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 100

    assert (await client.patch(url, 600, body())).status == 413
    assert 600 <= (await client.head(url)).offset <= 1000
    assert (await client.ask("DELETE", url)).status == 204
    assert (await client.create(None, b"x" * 1000, of("streamer"))).status == 201


async def test_too_many_unfinished(client: Client) -> None:
    """The one too many is 429 with Retry-After; finishing one makes room."""
    made = [await client.create(1, headers=of("hoarder")) for _ in range(20)]
    assert {answer.status for answer in made} == {201}
    answer = await client.create(1, headers=of("hoarder"))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert (await client.patch(made[0].location, 0, b"x")).status == 204
    assert (await client.create(1, headers=of("hoarder"))).status == 201


async def test_too_many_a_minute(client: Client) -> None:
    """However quickly they are deleted again, more than so many in a minute are 429 with the seconds until the next."""
    end = time.monotonic() + 90
    while (answer := await client.create(1, headers=of("hasty"))).status == 201:
        assert time.monotonic() < end
        assert (await client.ask("DELETE", answer.location)).status == 204
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (await client.create(1, headers=of("another"))).status == 201


async def test_the_total_of_all(client: Client) -> None:
    """When the deployment is full it is 507, whoever asks, and no figure is told."""
    made = []
    for number in range(7):
        answer = await client.create(1000, headers=of(f"owner {number}"))
        if answer.status != 201:
            break
        made.append(answer.location)
    assert (answer.status, answer.body) == (507, b"The server has no room for so many bytes.\n")
    assert "Retry-After" in answer.headers
    for url in made:
        assert (await client.ask("DELETE", url)).status == 204
    assert (await client.create(1000, headers=of("owner 8"))).status == 201


async def test_chunks_of_the_older_api(servers: Deployment) -> None:
    """They count too, for whoever has no owner: a chunk over the quota is 413; a finished file counts as it is."""
    async with ChunkClient(servers.urls[0]) as client:
        first, second = await client.begun(), await client.begun()
        assert (await client.chunk(first, 0, b"x" * 600)).status == 200
        answer = await client.chunk(second, 0, b"x" * 500)
        assert (answer.status, answer.body) == (413, refusal("There is no room for so many bytes!"))
        assert (await client.chunk(first, 0, b"x" * 400)).status == 200
        assert await client.settled((await client.complete(first, 1)).data) == "SUCCESS"
        assert (await client.chunk(second, 0, b"x" * 500)).status == 200


async def test_files_that_are_not_taken(client: Client) -> None:
    """Other types are 415, other names 403, before a byte is taken; so are files that say neither."""
    own = of("picky")
    for kind, name, status in (
        ("text/html", "a.txt", 201),
        ("image/png", "a.txt", 415),
        ("text/plain", "a.exe", 403),
        ("", "", 415),
    ):
        metadata = f"filename {encoded(name)},filetype {encoded(kind)}"
        assert (await client.create(1, headers={**own, "Upload-Metadata": metadata})).status == status
    assert (await client.create(1, headers={"Authorization": own["Authorization"], "Upload-Metadata": ""})).status == 415
    assert (await client.create(1, headers={**own, "Upload-Metadata": "", "Upload-Concat": "partial"})).status == 201
