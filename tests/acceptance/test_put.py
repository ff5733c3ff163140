"""`tusfm put`: files arrive whole, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.conftest import sha256
from tests.acceptance.test_command_line import ENVIRON, TUSFM, run, said
from tests.acceptance.test_metrics import Figures, figures
from tests.conformance.client import Client
from tests.servers import ServerProcess, free_port
from tests.services.toxiproxy import Toxiproxy
from tusfm.logs import printable

WAIT_SECONDS = 60.0
SIZE = 20_000_000
PRESSED = """
from tusfm.commands import sending
from tusfm.main import main

class Pressed:
    def __del__(self):
        raise KeyboardInterrupt

def next_piece(*_):
    Pressed()
    return sending.MIB

sending._next_piece = next_piece
main()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server; what stands behind it is nothing to a client."""
    with ServerProcess(tmp_path / "server") as process:
        yield process


def put(folder: Path, url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    given = [str(one) for one in arguments]
    return run(folder, "put", "--url", url, *given, XDG_STATE_HOME=str(folder / "state"))


class Sending:
    """The command while it runs, against a server behind a narrow line."""

    def __init__(self, folder: Path, server: ServerProcess, toxiproxy: Toxiproxy) -> None:
        """Make a file."""
        self.server = server
        self.proxy = toxiproxy.before("127.0.0.1", server.port)
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        self.file = folder / "large.bin"
        self.file.write_bytes(os.urandom(SIZE))
        self._folder = folder

    def start(self) -> subprocess.Popen[str]:
        """Begin to send."""
        environ = {**ENVIRON, "XDG_STATE_HOME": str(self._folder / "state")}
        self.proxy.narrow(500)  # KB a second: it takes much longer than whatever interrupts it
        command: Sequence[str | Path] = [TUSFM, "put", "--url", self.url, self.file]
        return subprocess.Popen(
            command, cwd=self._folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    async def figures(self) -> Figures:
        """Read the server's."""
        async with Client([self.server.url]) as client:
            return await figures(client)

    async def some(self) -> None:
        """Wait until something has arrived."""
        end = time.monotonic() + WAIT_SECONDS
        while (await self.figures())("stored_bytes_total") < 1_000_000:
            assert time.monotonic() < end

    def again(self) -> str:
        """Say the command again, with all the line, and return what it says on standard error."""
        self.proxy.mend()
        done = put(self._folder, self.url, self.file)
        assert done.returncode == 0, done.stderr
        url, name = done.stdout.split()
        assert (sha256(url), name) == (sha256(self.file), str(self.file))
        return done.stderr


@pytest.fixture
def sending(server: ServerProcess, toxiproxy: Toxiproxy, tmp_path: Path) -> Iterator[Sending]:
    """Prepare to send; a shell has its jobs in the background ignore Ctrl-C, and their children would, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Sending(tmp_path, server, toxiproxy)
    signal.signal(signal.SIGINT, before)


def test_each_file_is_a_line(server: ServerProcess, tmp_path: Path) -> None:
    """It says where the file is; one that is not there is told of, the others arrive, and the status is 1."""
    files = {"small [red].txt": b"small", "empty.bin": b"", "large.bin": os.urandom(3_000_000), "\udcff.bin": b"no text"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = put(tmp_path, server.url, "nowhere", *files, tmp_path)
    assert done.returncode == 1
    assert said(done).splitlines() == [
        "tusfm: nowhere: No such file or directory.",
        f"tusfm: {tmp_path.name}: Is a directory.",
        "tusfm: 2 of 6 files did not arrive; the same command goes on where it was.",
    ]
    lines = [line.split("  ", 1) for line in done.stdout.splitlines()]
    assert [name for _, name in lines] == [printable(name) for name in files]
    for (url, _), name in zip(lines, files, strict=True):
        assert sha256(url) == sha256(tmp_path / name)


async def test_it_goes_on_after_ctrl_c(sending: Sending) -> None:
    """The same command again sends what is missing, to the same upload."""
    process = sending.start()
    await sending.some()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, errors) == (130, "tusfm: Stopped; the same command goes on where it was.\n")
    assert "large.bin: goes on at" in sending.again()
    seen = await sending.figures()
    assert (seen("uploads_changed_total", event="created"), seen("uploads_changed_total", event="finalized")) == (1, 1)
    assert seen("received_bytes_total") < 1.5 * SIZE


def test_ctrl_c_is_heard_while_an_object_is_taken_apart(server: ServerProcess, tmp_path: Path) -> None:
    """Python would only print what is raised then, and go on."""
    (tmp_path / "large.bin").write_bytes(bytes(3_000_000))
    command = [sys.executable, "-c", PRESSED, "put", "--url", server.url, "large.bin"]
    environ = {**ENVIRON, "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert said(done) == "tusfm: Stopped; the same command goes on where it was."


async def test_it_survives_a_server_that_dies(sending: Sending) -> None:
    """It says that it waits, and ends well when the server is back."""
    process = sending.start()
    await sending.some()
    sending.server.kill()
    time.sleep(1)  # noqa: ASYNC251  it finds nobody
    sending.proxy.mend()
    sending.server.start()
    out, errors = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, "It is tried again." in errors) == (0, True), errors
    assert sha256(out.split()[0]) == sha256(sending.file)


async def test_an_upload_that_is_gone_is_begun_anew(sending: Sending) -> None:
    """An operator may have deleted it meanwhile."""
    process = sending.start()
    await sending.some()
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    listed = run(sending.server.folder, "uploads", "list", TUSFM_DATA_DIR=str(sending.server.data)).stdout
    name = listed.splitlines()[1].split()[0]
    deleted = run(sending.server.folder, "uploads", "delete", "--yes", name, TUSFM_DATA_DIR=str(sending.server.data))
    assert deleted.returncode == 0, deleted.stderr
    assert "goes on" not in sending.again()


def test_refusals_are_sentences(tmp_path: Path) -> None:
    """The server's own words are passed on; one that is not there is said to be so, soon."""
    (tmp_path / "file").write_bytes(b"x" * 20)
    with ServerProcess(tmp_path / "server", {"TUSFM_MAX_SIZE": "10"}) as server:
        assert "tusfm: file: The server says: An upload may have 10 bytes" in said(put(tmp_path, server.url, "file"))
        assert "tusfm: file: The server says: There is nothing here." in said(put(tmp_path, f"{server.url}/no/where", "file"))
    done = put(tmp_path, f"http://127.0.0.1:{free_port()}", "file")
    assert (done.returncode, "tusfm: file: The server does not answer." in said(done)) == (1, True)
    assert "must be an http or https URL" in said(put(tmp_path, "ftp://x", "file"))
    assert "a token is one word" in said(put(tmp_path, "http://x", "--token", "two words", "file"))
