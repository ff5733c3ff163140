"""What the acceptance tests share."""

import hashlib
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ServerProcess


def missing(what: str) -> None:
    """Skip for want of something; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def sha256(path_or_url: Path | str) -> str:
    """Digest a file, or what a URL gives."""
    digest = hashlib.sha256()
    source = path_or_url.open("rb") if isinstance(path_or_url, Path) else urllib.request.urlopen(path_or_url, timeout=60)
    with source:
        while data := source.read(1024 * 1024):
            digest.update(data)
    return digest.hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server."""
    with ServerProcess(tmp_path / "server") as process:
        yield process


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """Make a file of 60 MB."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(60_000_000))
    return path
