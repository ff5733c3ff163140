"""What a token or a key narrows: size, types, and how long an unfinished upload is kept."""

import time
from email.utils import parsedate_to_datetime

import pytest

from tests.access.conftest import BY_TOKEN
from tests.access.tokens import token
from tests.conformance.client import Client, encoded, path_of

pytestmark = [pytest.mark.xdist_group("access"), BY_TOKEN]


def own(**limits: object) -> dict[str, str]:
    """Return the headers of bob with these limits."""
    return {"Authorization": f"Bearer {token(sub='bob', tusfm=limits)}"}


def named(kind: str, name: str = "a") -> dict[str, str]:
    """Return metadata."""
    return {"Upload-Metadata": f"filename {encoded(name)},filetype {encoded(kind)}"}


async def test_the_largest_size(open_client: Client) -> None:
    """A token's size holds for what is declared, deferred, streamed and joined, also when the browser has no token."""
    limits = own(max_size=5)
    assert (await open_client.create(6, headers=limits)).status == 413
    assert (await open_client.create(None, b"123456", limits)).status == 413
    assert (await open_client.create(5, b"hello", limits)).status == 201
    deferred = (await open_client.create(None, headers=limits)).location
    assert (await open_client.patch(deferred, 0, b"123456")).status == 413
    assert (await open_client.patch(deferred, 0, b"12", {"Upload-Length": "6"})).status == 413
    assert (await open_client.patch(deferred, 0, b"123")).status == 204
    assert (await open_client.patch(deferred, 3, b"456")).status == 413
    assert (await open_client.patch(deferred, 3, b"45", {"Upload-Length": "5"})).status == 204
    partial = {**limits, "Upload-Concat": "partial"}
    parts = [path_of((await open_client.create(3, b"abc", partial)).location) for _ in range(2)]
    joined = await open_client.ask("POST", headers={**limits, "Upload-Concat": f"final;{' '.join(parts)}"})
    assert joined.status == 413
    assert (await open_client.create(6, headers=own())).status == 201


async def test_unfinished_partials_over_the_size(open_client: Client) -> None:
    """A final whose sum turns out over its owner's size is failed."""
    limits = own(max_size=5)
    partial = {**limits, "Upload-Concat": "partial"}
    parts = [(await open_client.create(None, headers=partial)).location for _ in range(2)]
    final = await open_client.ask("POST", headers={**limits, "Upload-Concat": f"final;{' '.join(map(path_of, parts))}"})
    assert final.status == 201
    for part in parts:
        assert (await open_client.patch(part, 0, b"abc", {"Upload-Length": "3"})).status == 204
    assert (await open_client.ask("GET", final.location, limits)).status == 404


async def test_types(open_client: Client) -> None:
    """Files of other types are 415, and so are those that name none; partials are no files."""
    limits = own(types=["image/*", "application/pdf"])
    for kind, status in (
        ("image/png", 201),
        ("Application/PDF; x=1", 201),
        ("text/html", 415),
        ("", 415),
        ("imagex/png", 415),
    ):
        assert (await open_client.create(5, headers={**limits, **named(kind)})).status == status
    assert (await open_client.create(5, headers=limits)).status == 415
    part = await open_client.create(5, b"hello", {**limits, "Upload-Concat": "partial"})
    assert part.status == 201
    final = {**limits, "Upload-Concat": f"final;{path_of(part.location)}"}
    assert (await open_client.ask("POST", headers={**final, **named("text/html")})).status == 415
    assert (await open_client.ask("POST", headers={**final, **named("image/gif")})).status == 201


async def test_how_long_an_unfinished_upload_is_kept(open_client: Client) -> None:
    """A token's time comes before the deployment's, in every answer; it cannot be longer than that one."""

    def left(expires: str) -> float:
        return parsedate_to_datetime(expires).timestamp() - time.time()

    made = await open_client.create(5, headers=own(expire_after=600))
    sent = await open_client.patch(made.location, 0, b"he")
    asked = await open_client.head(made.location)
    for answer in (made, sent, asked):
        assert 300 < left(answer.headers["Upload-Expires"]) < 700
    long = await open_client.create(5, headers=own(expire_after=10**6))
    assert left(long.headers["Upload-Expires"]) < 90_000
