"""tuspy."""

from pathlib import Path

import pytest
from tusclient import client

from tests.acceptance.conftest import sha256
from tests.servers import ServerProcess

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # tuspy leaves the file open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_file_arrives_whole(server: ServerProcess, large_file: Path) -> None:
    """A file that is sent in chunks, with checksums, is the same."""
    uploader = client.TusClient(f"{server.url}/files/").uploader(
        str(large_file), chunk_size=7_000_000, metadata={"filename": "gr\u00fc\u00dfe.bin"}, upload_checksum=True
    )
    uploader.upload()
    assert sha256(str(uploader.url)) == sha256(large_file)


def test_a_killed_server_loses_nothing(server: ServerProcess, large_file: Path) -> None:
    """After SIGKILL between chunks the client resumes by URL, where the server says."""
    tus = client.TusClient(f"{server.url}/files/")
    first = tus.uploader(str(large_file), chunk_size=5_000_000)
    first.upload(stop_at=20_000_000)
    url = first.url
    server.kill()
    server.start()
    second = tus.uploader(str(large_file), chunk_size=5_000_000, url=url)
    assert second.get_offset() == 20_000_000
    second.upload()
    assert sha256(str(url)) == sha256(large_file)
