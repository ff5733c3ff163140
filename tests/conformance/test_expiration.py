"""E: expiration."""

import asyncio
import time
from email.utils import parsedate_to_datetime

from tests.conformance.client import Client, digest, noise, patch_head, path_of
from tests.conformance.conftest import EACH_STACK
from tests.deployments import Start


async def test_e1_unfinished_uploads_say_when(client: Client) -> None:
    """E1: Upload-Expires stands in POST and in each PATCH while unfinished, a day ahead, as an IMF-fixdate."""
    made = await client.create(5)
    patched = await client.patch(made.location, 0, b"a")
    for answer in (made, patched, await client.head(made.location)):
        ahead = parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp() - time.time()
        assert 86_000 < ahead < 86_500


async def test_e2_after_its_time_an_upload_is_404_and_its_bytes_go(fresh: Start) -> None:
    """E2, E4: an expired upload is 404 to every verb, and the sweep frees it; a finished file stays."""
    server = fresh(TUSFM_EXPIRE_AFTER="3", TUSFM_SWEEP_EVERY="0.3")
    async with Client(server.urls) as client:
        kept = await client.whole(b"kept")
        url = await client.made(10)
        large = await client.made(3_000_000)
        await client.patch(url, 0, b"abc")
        await client.patch(large, 0, noise(2_000_000))
        await asyncio.sleep(3.1)
        statuses = [(await client.head(one)).status for one in (url, large)]
        assert [*statuses, (await client.patch(url, 3, b"d")).status, (await client.ask("DELETE", url)).status] == [404] * 4
        end = time.monotonic() + 60
        while len(server.objects()) > 1 and time.monotonic() < end:
            await asyncio.sleep(0.1)
        assert len(server.objects()) == 1
        assert await client.content(kept) == b"kept"


async def test_e3_each_byte_puts_it_off(fresh: Start) -> None:
    """E3: an upload expires its time after the last byte, and a running PATCH is safe from the sweep."""
    server = fresh(TUSFM_EXPIRE_AFTER="3", TUSFM_SWEEP_EVERY="0.2")
    async with Client(server.urls) as client:
        url = await client.made(8)
        for offset in range(4):
            await asyncio.sleep(0.8)
            assert (await client.patch(url, offset, b"x")).status == 204
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 4, 4))
            for _ in range(4):
                await raw.send(b"y")
                await asyncio.sleep(0.8)
            assert (await raw.answer()).status == 204
        assert await client.content(url) == b"xxxxyyyy"


async def test_e3_a_long_checksummed_patch_does_not_expire(fresh: Start) -> None:
    """K5: a request whose bytes do not count yet keeps its upload from expiring."""
    server = fresh(TUSFM_EXPIRE_AFTER="3", TUSFM_SWEEP_EVERY="0.2")
    async with Client(server.urls) as client:
        url = await client.made(6)
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, 6, Upload_Checksum=digest("sha1", b"yyyyyy")))
            for _ in range(6):
                await raw.send(b"y")
                await asyncio.sleep(0.6)
            assert (await raw.answer()).status == 204
        assert await client.content(url) == b"yyyyyy"


@EACH_STACK
async def test_e5_with_0_nothing_expires(fresh: Start) -> None:
    """E5: with TUSFM_EXPIRE_AFTER=0 nothing expires, and the extension is not advertised."""
    async with Client(fresh(TUSFM_EXPIRE_AFTER="0").urls) as client:
        made = await client.create(5)
        assert "Upload-Expires" not in made.headers
        assert "Upload-Expires" not in (await client.patch(made.location, 0, b"a")).headers
        assert "expiration" not in (await client.ask("OPTIONS")).headers["Tus-Extension"]
