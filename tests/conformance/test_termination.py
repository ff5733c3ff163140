"""X: termination."""

import asyncio

from tests.conformance.client import VERSION, Client, noise, patch_head, path_of
from tests.deployments import Start


async def test_x2_delete_takes_the_bytes_away(fresh: Start) -> None:
    """X2: DELETE is 204, finished or not; afterwards the upload is 404 and its bytes are gone from storage."""
    server = fresh()
    async with Client(server.urls) as client:
        for size, sent in ((3, 3), (10, 3), (10, 0), (3_000_000, 2_000_000), (3_000_000, 3_000_000)):
            url = await client.made(size)
            if sent:
                await client.patch(url, 0, noise(size)[:sent])
            assert (await client.ask("DELETE", url)).status == 204
            statuses = [(await client.ask(method, url)).status for method in ("HEAD", "GET", "DELETE")]
            assert [*statuses, (await client.patch(url, sent, b"x")).status] == [404] * 4
            async with asyncio.timeout(60):  # a finalization may be at it just then
                while server.objects():
                    await asyncio.sleep(0.1)


async def test_x3_unknown_is_404(client: Client) -> None:
    """X3: DELETE of what is not there is 404."""
    assert (await client.ask("DELETE", "/files/" + "a" * 32, VERSION)).status == 404


async def test_x4_delete_ends_a_running_patch(fresh: Start) -> None:
    """X4: a PATCH that is running ends, and nothing comes back to life."""
    server = fresh()
    async with Client(server.urls) as client:
        for size in (1000, 5_000_000):
            url = await client.made(size)
            async with client.raw() as raw:
                await raw.send(patch_head(path_of(url), 0, size) + b"x")
                assert await client.offset_after(url, 1) == 1
                await raw.send(b"x" * (size - 10))
                await raw.taken()
                assert (await client.ask("DELETE", url)).status == 204
                assert await raw.closed()
            assert (await client.head(url)).status == 404
            async with asyncio.timeout(60):
                while server.objects():
                    await asyncio.sleep(0.1)
