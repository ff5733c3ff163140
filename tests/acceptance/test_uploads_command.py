"""`tusfm uploads`: what an operator sees, and what deleting does."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.test_command_line import ENVIRON, TUSFM, run, said
from tests.conformance.client import Client, encoded
from tests.servers import ServerProcess
from tests.stacks import EmbeddedStack, Stack

NAME = "a\x1b[31m name\nof more than the columns that are left of eighty.bin"


def listed(folder: Path, settings: Mapping[str, str], *arguments: str) -> list[dict[str, Any]]:
    """List uploads."""
    done = run(folder, "uploads", "list", "--json", *arguments, **settings)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def on_terminal(folder: Path, settings: Mapping[str, str], columns: int, arguments: Sequence[str]) -> str:
    """Run the command on a terminal of so many columns, and return what it shows."""
    ours, theirs = pty.openpty()
    environ = {**ENVIRON, "COLUMNS": str(columns), **settings}
    with subprocess.Popen(
        [TUSFM, *arguments], cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # Linux's way of saying that the other end is closed
            pass
        process.wait(60)
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


async def test_uploads_are_listed_shown_and_deleted(server: ServerProcess, stack: Stack, tmp_path: Path) -> None:
    """Newest first, chosen by state and size, page by page; what is deleted is gone, with its bytes."""
    settings = stack.settings
    async with Client([server.url]) as client:
        whole = await client.whole(b"w" * 1000, Upload_Metadata=f"filename {encoded('report.pdf')}")
        partly = await client.made(5_000_000)
        await client.patch(partly, 0, b"p" * 1_000_000)
        empty = await client.made(None)
        names = [url.rpartition("/")[2] for url in (empty, partly, whole)]

        every = listed(tmp_path, settings)
        assert [one["id"] for one in every] == names
        assert [(one["state"], one["offset"], one["length"]) for one in every] == [
            ("receiving", 0, None),
            ("receiving", 1_000_000, 5_000_000),
            ("available", 1000, 1000),
        ]
        assert every[2]["metadata"] == {"filename": "report.pdf"}
        chosen = listed(tmp_path, settings, "--state", "receiving", "--larger-than", "4.5MB", "--younger-than", "1h")
        assert [one["id"] for one in chosen] == [names[1]]
        page = run(tmp_path, "uploads", "list", "--limit", "2", **settings)
        assert [line.split()[:2] for line in page.stdout.splitlines()[1:]] == [
            [names[0], "receiving"],
            [names[1], "receiving"],
        ]
        mark = page.stderr.split()[-1]
        assert [one["id"] for one in listed(tmp_path, settings, "--before", mark)] == [names[2]]

        shown = run(tmp_path, "uploads", "show", names[1], **settings).stdout
        assert "offset: 1000000\nlength: 5000000\n" in shown
        assert "consists_of:\n" in shown

        done = run(tmp_path, "uploads", "delete", "--yes", *names[1:], "nowhere", **settings)
        assert (done.returncode, done.stdout) == (1, f"{names[1]} is deleted.\n{names[2]} is deleted.\n")
        assert said(done) == "tusfm: There is no upload nowhere, or it has ended before."
        for url, status in ((whole, 404), (partly, 404), (empty, 200)):
            assert (await client.head(url)).status == status
    assert stack.objects() == {}


async def test_one_that_failed_can_be_deleted(tmp_path: Path) -> None:
    """Its client hears 404, and its operator can end it all the same."""
    stack = EmbeddedStack(tmp_path / "data")
    with ServerProcess(tmp_path / "server", stack.settings) as server:
        async with Client([server.url]) as client:
            name = (await client.made(10)).rpartition("/")[2]
        stack.execute("UPDATE uploads SET state = 'failed', error = 'gone'")
        assert "say --yes" in said(run(tmp_path, "uploads", "delete", name, **stack.settings))
        assert "error: gone\n" in run(tmp_path, "uploads", "show", name, **stack.settings).stdout
        assert run(tmp_path, "uploads", "delete", "--yes", name, **stack.settings).returncode == 0
        assert [one["state"] for one in listed(tmp_path, stack.settings)] == ["terminated"]


async def test_a_table_fits_the_terminal(tmp_path: Path) -> None:
    """On 80 columns no line is longer, on 200 the name is whole, and no name can steer the terminal."""
    stack = EmbeddedStack(tmp_path / "data")
    with ServerProcess(tmp_path / "server", stack.settings) as server:
        async with Client([server.url]) as client:
            await client.made(123_456_789_000, Upload_Metadata=f"filename {encoded(NAME)}")
    for columns, end in ((80, "…"), (200, "eighty.bin")):
        shown = on_terminal(tmp_path, stack.settings, columns, ["uploads", "list"])
        lines = shown.splitlines()
        assert (len(lines), max(map(len, lines)) <= columns, lines[1].endswith(end)) == (2, True, True), shown
        assert re.fullmatch(r"[0-9a-f]{32}  receiving  0% of 115.0 GiB  \S+ +a\\x1b\[31m.*", lines[1])
