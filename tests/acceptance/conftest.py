"""What the acceptance tests share."""

import hashlib
import os
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.acceptance.visitor import chromium
from tests.deployments import STACKS, stack_of
from tests.servers import ServerProcess
from tests.stacks import Stack


def sha256(path_or_url: Path | str) -> str:
    """Digest a file, or what a URL gives."""
    digest = hashlib.sha256()
    source = path_or_url.open("rb") if isinstance(path_or_url, Path) else urllib.request.urlopen(path_or_url, timeout=60)
    with source:
        while data := source.read(1024 * 1024):
            digest.update(data)
    return digest.hexdigest()


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Make a place for a server, on each stack."""
    with stack_of(request.param, request, tmp_path) as one:
        yield one


@pytest.fixture
def server(stack: Stack, tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server."""
    with ServerProcess(tmp_path / "server", stack.settings) as process:
        yield process


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """Make a file of 60 MB."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(60_000_000))
    return path


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser."""
    async with chromium() as one:
        yield one
