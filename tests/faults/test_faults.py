"""Faults that servers of this kind were found to have, each shown not to be here; docs/reliability.md lists the letters."""

import asyncio
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.client import Client, noise, patch_head, path_of
from tests.faults.conftest import MIB, Site, both
from tests.faults.test_lost_answers import COMMITS, goes_on
from tests.servers import ServerProcess
from tests.stacks import sweep

pytestmark = pytest.mark.xdist_group("faults")  # which share their servers


async def test_a_a_part_that_failed_is_not_counted_over(site: Site) -> None:
    """(a) The second part fails while later ones succeed: the offset ends before it, and the file is right."""
    data = noise(40 * MIB)
    async with both(site) as (first, second):
        url = await first.made(len(data))
        site.s3.fail("UploadPart", "forbidden", first=2)
        assert (await first.patch(url, 0, data)).status == 503
        assert (await second.head(url)).offset < 18 * MIB
        await goes_on(second, url, data, 40 * MIB)


@pytest.mark.parametrize("how", ["refused", "killed"])
async def test_b_a_tail_outlives_the_part_that_gathers_it(site: Site, how: str) -> None:
    """(b) The part that should hold a tail's bytes is refused, or the server dies meanwhile: the offset does not fall."""
    data = noise(12 * MIB)
    async with both(site) as (first, second):
        url = await first.made(len(data))
        assert (await first.patch(url, 0, data[:MIB])).offset == MIB
        if how == "refused":
            site.s3.fail("UploadPart", "forbidden", many=100)
            assert (await first.patch(url, MIB, data[MIB:])).status == 503
        else:
            stalled = site.s3.fail("UploadPart", "stall", many=100)
            sending = asyncio.create_task(first.patch(url, MIB, data[MIB:]))
            while not stalled.seen:
                await asyncio.sleep(0.02)
            site.servers[0].kill()
            site.servers[0].start()
            await asyncio.wait([sending])
            assert isinstance(sending.exception(), aiohttp.ClientError)
        site.s3.clear()
        assert (await second.head(url)).offset >= MIB
        await goes_on(second, url, data, 12 * MIB)


@pytest.mark.parametrize(("how", "after"), [("forbidden", False), ("cut", True)])
async def test_c_completing_that_fails_is_tried_again(site: Site, how: str, after: bool) -> None:  # noqa: FBT001
    """(c) Completing is refused once, or its answer is lost: nothing is available before the object is, and then it is."""
    data = noise(10 * MIB)
    async with both(site) as (first, second):
        url = await first.made(len(data))
        fault = site.s3.fail("CompleteMultipartUpload", how, after=after)
        assert (await first.patch(url, 0, data)).status == 204
        assert (await second.head(url)).offset == len(data)
        assert await second.content(url) == data
        assert fault.seen >= 1


async def aborted(site: Site, url: str) -> None:
    """Abort an upload's multipart upload, as somebody else might."""
    name, key = site.row(url, "multipart"), site.row(url, "object_key")
    await site.directly(lambda storage: storage.abort(site.prefix + key, name))


async def test_d_what_was_aborted_from_outside_is_not_finished(site: Site) -> None:
    """(d) The multipart upload is aborted between two PATCHes, or while it is being completed: 404, and never a file."""
    data = noise(20 * MIB)
    async with both(site) as (first, second):
        url, other = await first.made(len(data)), await first.made(len(data))
        await first.patch(url, 0, data[: 10 * MIB])
        await aborted(site, url)
        assert (await first.patch(url, (await first.head(url)).offset, data[10 * MIB :])).status == 404
        assert (await second.head(url)).status == 404
        site.s3.fail("CompleteMultipartUpload", "forbidden", many=2)
        await first.patch(other, 0, data)
        await aborted(site, other)
        async with asyncio.timeout(60):
            while site.row(other, "state") != "failed":
                assert (await second.ask("GET", other)).status in {404, 409}
                site.sql(f"UPDATE uploads SET retry_at = NULL WHERE id = '{other[-32:]}'")  # the second look may come at once
        assert (await second.head(other)).status == 404


async def test_e_silent_clients_hold_no_place_before_the_storage(site: Site) -> None:
    """(e) Forty clients that send a little and go silent, and the forty-first uploads as if it were alone."""
    data = noise(10 * MIB)
    async with site.first as client:
        raws = [client.raw() for _ in range(40)]
        for raw in raws:
            url = await client.made(MIB)
            await raw.__aenter__()
            await raw.send(patch_head(path_of(url), 0, MIB) + b"x" * 1000)
        for _ in range(3):
            url = await client.made(len(data))
            async with asyncio.timeout(60):
                assert (await client.patch(url, 0, data)).status == 204
                assert await client.content(url) == data
        for raw in raws:
            await raw.__aexit__()


async def test_f_two_writers_on_two_servers_never_mix(site: Site) -> None:
    """(f) Two clients send different bytes for the same offset to two servers at once: one of them wins, all of it."""
    size = 24 * MIB
    async with both(site) as (first, second):
        url = await first.made(size)
        sent = [first.patch(url, 0, b"A" * (20 * MIB)), second.patch(url, 0, b"B" * (20 * MIB))]
        await asyncio.gather(*sent, return_exceptions=True)
        offset = (await first.head(url)).offset
        assert (await second.patch(url, offset, b"C" * (size - offset))).status == 204
        assert re.fullmatch(b"(A*|B*)C*", await first.content(url))


async def test_f_a_writer_that_wakes_up_changes_nothing(site: Site) -> None:
    """(f) A server stands still in the middle of a PATCH, another one takes over and finishes; the first one wakes up."""
    data = noise(24 * MIB)
    process = site.servers[0].process
    assert process is not None
    async with both(site) as (first, second):
        url = await first.made(len(data))
        async with first.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, len(data)) + data[: 12 * MIB])
            process.send_signal(signal.SIGSTOP)
            try:
                raw.writer.write(b"?" * (12 * MIB))  # which the first one will read when nobody wants it any more
                await goes_on(second, url, data, 24 * MIB)
            finally:
                process.send_signal(signal.SIGCONT)
            assert await raw.closed(30)
        assert await first.content(url) == data


async def test_f_a_commit_that_is_under_way_when_somebody_takes_over_changes_nothing(site: Site) -> None:
    """(f) A writer's part is stored, and its commit on the way; another one takes over, and its bytes are acknowledged."""
    data = noise(24 * MIB)
    async with both(site) as (first, second):
        url = await first.made(len(data))
        commit = site.mysql.hold(COMMITS)
        async with first.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, len(data)) + b"?" * (12 * MIB))
            assert await asyncio.to_thread(commit.happened.wait, 60)
            assert (await second.patch(url, 0, data[:MIB])).offset == MIB  # a tail: no row of extents is in the part's way
            commit.meanwhile.set()
            assert await raw.closed(30)
        assert (await second.head(url)).offset == MIB
        await goes_on(second, url, data, 24 * MIB)


async def test_g_a_download_is_not_cut_by_questions(site: Site) -> None:
    """(g) A slow download goes on while both servers are asked for the status hundreds of times."""
    data = noise(20 * MIB)
    async with both(site) as (first, second):
        url = await first.whole(data)
        async with first.raw() as raw:
            await raw.send(f"GET {path_of(url)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while not raw.reader.at_eof():
                got += await raw.reader.read(MIB)
                assert (await asyncio.gather(first.head(url), second.head(url)))[0].offset == len(data)
        assert got.partition(b"\r\n\r\n")[2] == data


async def test_h_the_maximum_holds_for_a_deferred_length(site: Site, tmp_path: Path) -> None:
    """(h) Over the maximum is 413 with a deferred length too, announced or not, at once or bit by bit."""
    settings = {**site.stack.settings, "TUSFM_MAX_SIZE": str(MIB)}

    async def endless() -> object:
        while True:
            yield b"x" * 100_000

    with ServerProcess(tmp_path / "bounded", settings) as server:
        async with Client([server.url]) as client:
            url = await client.made()
            assert (await client.patch(url, 0, b"x" * (MIB + 1))).status == 413
            assert (await client.patch(url, 0, endless())).status == 413  # type: ignore[arg-type]
            offset = (await client.head(url)).offset
            assert (await client.patch(url, offset, b"x" * (MIB - offset))).status == 204
            assert (await client.patch(url, MIB, b"x")).status == 413
    assert site.stored(url) <= MIB


@pytest.mark.parametrize("how", ["", "forbidden"])
async def test_i_deletion_leaves_nothing(site: Site, how: str) -> None:
    """(i) DELETE of a finished, and of an unfinished, upload leaves no object and no part; what the storage did not delete
    then, the sweep does.
    """
    data = noise(10 * MIB)
    async with site.first as client:
        finished, unfinished = await client.whole(data), await client.made(len(data) + 1)
        await client.patch(unfinished, 0, data)
        assert await client.content(finished) == data  # which waits for the object
        assert site.stored(finished) == len(data)
        for operation in ("DeleteObject", "DeleteObjects", "AbortMultipartUpload") if how else ():
            site.s3.fail(operation, how, many=100)
        for url in (finished, unfinished):
            assert (await client.ask("DELETE", url)).status == 204
            assert (await client.head(url)).status == 404
        site.s3.clear()
        if how:
            sweep(site.stack)
        for url in (finished, unfinished):
            assert site.stored(url) == 0
            assert not await site.parts(url)


async def test_j_a_body_over_the_length_is_not_written(site: Site) -> None:
    """(j) A body that is longer than what is left is refused before a byte of it travels to the storage."""
    async with site.first as client:
        url = await client.made(10 * MIB)
        site.s3.clear()
        assert (await client.patch(url, 0, b"x" * (20 * MIB))).status == 413
        assert (site.s3.up, site.s3.counts["CreateMultipartUpload"], (await client.head(url)).offset) == (0, 0, 0)


async def test_k_calls_to_the_storage_follow_bytes(site: Site) -> None:
    """(k) 300 chunks of 1 MiB cost about as many calls as chunks, no listing, and no byte is read back."""
    chunk = noise(MIB)
    async with site.first as client:
        url = await client.made(300 * MIB)
        site.s3.clear()
        for number in range(300):
            assert (await client.patch(url, number * MIB, chunk)).status == 204
        counts = dict(site.s3.counts)
        assert sum(counts.values()) <= 1.3 * 300, counts
        assert not [name for name in counts if name.startswith("List")]
        assert site.s3.down < MIB
        await client.ask("DELETE", url)


async def test_l_a_sweep_takes_only_what_is_ours(site: Site) -> None:
    """(l) When uploads have expired, others' objects and multipart uploads stay, in our folders too; so do finished files."""
    async with site.first as client:
        file, old = await client.whole(b"finished"), await client.made(20 * MIB)
        await client.patch(old, 0, noise(10 * MIB))
        strange = [f"others/{file[-32:]}/1", f"{site.prefix}files/{'0' * 32}/1", "backup.tar"]
        for key in strange:
            await site.directly(lambda storage, key=key: storage.put(key, [b"theirs"]))  # type: ignore[misc]
        begun = [await site.directly(lambda storage, key=key: storage.begin(key)) for key in strange]  # type: ignore[misc]
        site.sql(f"UPDATE uploads SET expires_at = 1 WHERE id IN ('{file[-32:]}', '{old[-32:]}')")
        site.sql("UPDATE duties SET held_until = 0")
        sweep(site.stack)
        assert (await client.content(file), (await client.head(old)).status) == (b"finished", 404)
        assert site.stored(old) == 0
        for key, name in zip(strange, begun, strict=True):
            assert await site.directly(lambda storage, key=key: storage.size(key)) == 6  # type: ignore[misc]
            await site.directly(lambda storage, key=key, name=name: storage.put_part(key, name, 1, [b"x"]))  # type: ignore[misc]
            await site.directly(lambda storage, key=key, name=name: storage.abort(key, name))  # type: ignore[misc]
            await site.directly(lambda storage, key=key: storage.delete([key]))  # type: ignore[misc]
