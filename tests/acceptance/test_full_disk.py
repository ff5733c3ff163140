"""The embedded stack when its disk is full, read-only or locked: a sentence, nothing lost, and it goes on by itself."""

import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.client import Answer, Client, noise
from tests.servers import ServerProcess

MB = 1_000_000
FULL = b"The server has no room for these bytes just now; what was acknowledged is kept.\n"
AWAY = b"Something that the server needs is away; please try again in a moment.\n"


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something on a folder; who may not do that skips."""
    done = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        if "remount" not in " ".join(options):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write a file until there is no room at all."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(4096))
    os.close(file)


async def refused(client: Client, url: str, data: bytes, status: int, said: bytes) -> int:
    """A PATCH is refused with a sentence and Retry-After; returns the offset, which HEAD still knows."""
    offset = (await client.head(url)).offset
    answer = await client.patch(url, offset, data)
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (status, said, "5")
    return (await client.head(url)).offset


@pytest.mark.skipif(shutil.which("mount") is None, reason="cannot mount")
async def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """507 when there is no room; what fitted is kept, deleting makes room, and then all goes on. When others fill the disk to
    the last byte, HEAD and GET still answer.
    """
    server = ServerProcess(tmp_path)
    server.data.mkdir(parents=True)
    data = noise(60 * MB)
    with mounted(server.data, "-t", "tmpfs", "-o", "size=80m", "tmpfs"), server:
        async with Client([server.url]) as client:
            file, first = await client.whole(noise(30 * MB, 1)), await client.whole(b"small")
            url = await client.made(len(data))
            kept = await refused(client, url, data, 507, FULL)
            assert kept > 10 * MB
            assert (await client.create(3 * MB, data[: 3 * MB])).status == 507
            fill(server.data / "ballast")
            assert (await client.head(url)).offset == kept
            assert await client.content(first) == b"small"
            assert (await client.create(5)).status in {201, 503}
            (server.data / "ballast").unlink()
            assert (await client.ask("DELETE", file)).status == 204
            assert (await client.patch(url, kept, data[kept:])).status == 204
            assert await client.content(url) == data


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
async def test_files_that_may_grow_no_further(tmp_path: Path) -> None:
    """A limit on the size of files is no room either: 507, and the upload goes on when it is lifted."""
    data = noise(5 * MB)
    with ServerProcess(tmp_path) as server:
        assert server.process is not None
        async with Client([server.url]) as client:
            url = await client.made(len(data))
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (2 * MB, resource.RLIM_INFINITY))
            kept = await refused(client, url, data, 507, FULL)
            assert kept <= 2 * MB
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert (await client.patch(url, kept, data[kept:])).status == 204
            assert await client.content(url) == data


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
async def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    """503 for what would be written, HEAD and downloads go on; nothing is lost, and afterwards everything goes on."""
    with ServerProcess(tmp_path) as server:
        assert server.process is not None
        async with Client([server.url]) as client:
            file, url = await client.whole(b"hello"), await client.made(10)
            await client.patch(url, 0, b"hello")
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            for answer in (await client.create(5), await client.ask("DELETE", file)):
                assert (answer.status, answer.body, answer.headers["Retry-After"]) == (503, AWAY, "5")
            assert (await client.head(url)).offset == 5
            assert await client.content(file) == b"hello"
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert (await client.patch(url, 5, b"world")).status == 204
            assert await client.content(url) == b"helloworld"
            assert (await client.ask("DELETE", file)).status == 204


@pytest.mark.skipif(shutil.which("mount") is None, reason="cannot mount")
async def test_a_directory_that_became_read_only(tmp_path: Path) -> None:
    """503 for what would be written, downloads and HEAD go on; afterwards everything does."""
    data = noise(3 * MB)
    with ServerProcess(tmp_path) as server:
        async with Client([server.url]) as client:
            file, url = await client.whole(b"hello"), await client.made(len(data))
            await client.patch(url, 0, data[:MB])
            work = server.data / "work"
            with mounted(work, "--bind", str(work)), mounted(work, "-o", "remount,bind,ro"):
                assert await refused(client, url, data[MB : 2 * MB], 503, AWAY) == MB
                assert await client.content(file) == b"hello"
            assert (await client.patch(url, MB, data[MB:])).status == 204
            assert await client.content(url) == data


async def test_a_database_that_a_backup_locks(tmp_path: Path) -> None:
    """Writers wait for ten seconds, all of them at the same time, and hear 503; readers do not notice; then all goes on."""
    with ServerProcess(tmp_path) as server:
        async with Client([server.url]) as client:
            file, url = await client.whole(b"hello"), await client.made(5)
            with contextlib.closing(sqlite3.connect(server.data / "tusfm.sqlite3", isolation_level=None)) as backup:
                backup.execute("BEGIN IMMEDIATE")
                began = asyncio.get_running_loop().time()
                waiting = [asyncio.create_task(client.patch(url, 0, b"hello")) for _ in range(6)]
                assert (await client.head(url)).status == 200
                assert await client.content(file) == b"hello"
                answers: list[Answer] = await asyncio.gather(*waiting)
                assert {(answer.status, answer.body) for answer in answers} == {(503, AWAY)}
                assert asyncio.get_running_loop().time() - began < 50  # and not six times ten
                backup.execute("ROLLBACK")
            assert (await client.patch(url, 0, b"hello")).status == 204
            assert await client.content(url) == b"hello"
