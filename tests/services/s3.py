"""S3 servers for tests: an address in TUSFM_TEST_S3, else MinIO as the machine, or the tests' own set-up, has it.

versitygw, of another house, is started beside it where it is to be had: what both do is S3.
"""

import base64
import contextlib
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import free_port
from tusfm.adapters.s3_requests import S3Address

START_SECONDS = 100
UNVERIFIED = ssl._create_unverified_context()  # noqa: S323  whether it answers is the question, not who it is
INSTALLED = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tusfm-tests" / "bin"
ENCRYPTION_KEY = f"tests:{base64.b64encode(bytes(32)).decode()}"
KEY, SECRET = "tusfm-test", "a secret of tests"


@dataclass(frozen=True)
class S3Server:
    """A server, and keys to it."""

    url: str
    key: str = KEY
    secret: str = SECRET

    @property
    def address(self) -> S3Address:
        """Return it as the adapter takes it."""
        return S3Address(endpoint=self.url, access_key=self.key, secret_key=self.secret)

    def settings(self, bucket: str) -> dict[str, str]:
        """Return it as an environment that names it, with buckets of the test's own."""
        return {
            "MINIO_ENDPOINT": self.url,
            "MINIO_ACCESS_KEY": self.key,
            "MINIO_SECRET_KEY": self.secret,
            "MINIO_PRIVATE_BUCKET": bucket,
            "MINIO_PUBLIC_BUCKET": f"{bucket}-public",
        }


def binary(name: str) -> str | None:
    """Find a program."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), str(INSTALLED)]))


class MinioProcess:
    """MinIO in a directory, on a port that it keeps when it is started again."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """Take a directory, and more of MinIO's own settings and arguments."""
        self._folder = folder
        self._arguments = arguments
        self.port = free_port()
        self._environ = {**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, **(environ or {})}
        self._environ |= {"MINIO_CI_CD": "1", "MINIO_KMS_SECRET_KEY": ENCRYPTION_KEY}  # the root disk will do
        self.server = S3Server(f"http://127.0.0.1:{self.port}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        program = binary("minio")
        assert program is not None
        where = [f"--address=127.0.0.1:{self.port}", f"--console-address=127.0.0.1:{free_port()}"]
        command = [program, "server", "--quiet", *where, *self._arguments, str(self._folder / "minio")]
        with (self._folder / "minio.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log)
        scheme = "https" if "--certs-dir" in self._arguments else "http"
        _wait(f"{scheme}://127.0.0.1:{self.port}/minio/health/live", self.process, self._folder / "minio.log")

    def kill(self) -> None:
        """End it, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def minio(folder: Path) -> Iterator[S3Server | None]:
    """Give a server on which buckets can be made; None when there is none to be had."""
    given = os.environ.get("TUSFM_TEST_S3")
    if given:
        parts = urlsplit(given)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        yield S3Server(bare, parts.username or "", parts.password or "")
        return
    if binary("minio") is None:
        yield None
        return
    process = MinioProcess(folder)
    process.start()
    try:
        yield process.server
    finally:
        process.kill()


@contextlib.contextmanager
def versitygw(folder: Path) -> Iterator[S3Server | None]:
    """Start versitygw; None when it is not to be had."""
    program = binary("versitygw")
    if program is None:
        yield None
        return
    port = free_port()
    (folder / "versitygw").mkdir()
    environ = {**os.environ, "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    command = [program, "--port", f"127.0.0.1:{port}", "--health", "/health", "posix", str(folder / "versitygw")]
    with (folder / "versitygw.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, folder / "versitygw.log")
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2, context=UNVERIFIED):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, f"an S3 server did not start in time: {log.read_text()}"
        time.sleep(0.1)
