"""The wheel, in an environment that has nothing else."""

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
from tusclient import client

from tests.acceptance.conftest import sha256
from tests.acceptance.visitor import DIST
from tests.conftest import missing
from tests.deployment.compose import ROOT
from tests.servers import ServerProcess
from tusfm import __version__

SOURCES = ("LICENSE", "README.md", "constraints.txt", "pyproject.toml", "setup.cfg", "tusfm", "compat_api", "migrations")
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the sources."""
    if not (DIST / "index.html").exists():
        missing("the built page")
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    subprocess.run([sys.executable, *PIP, "wheel", "--no-deps", "-w", folder / "made", folder], check=True)
    (made,) = (folder / "made").iterdir()
    return made


def test_the_wheel_is_whole(wheel: Path) -> None:
    """It bears the version, and has the page, the types, the migrations and nothing of the tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name == f"tusfm-{__version__}-py3-none-any.whl"
    for needed in (
        "tusfm/py.typed",
        "tusfm/web/dist/index.html",
        "migrations/script.py.mako",
        "migrations/versions/0001_uploads.py",
    ):
        assert needed in names
    assert {name.split("/")[0] for name in names} == {"tusfm", "compat_api", "migrations", f"tusfm-{__version__}.dist-info"}
    assert not any("node_modules" in name for name in names)


@pytest.mark.timeout(300)  # what it needs may have to be fetched
def test_it_runs_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment it says its version, migrates, serves the page, and takes a file."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        *PIP[2:],
        "install",
        "--no-compile",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*install, str(wheel)], check=True)
    settings = {"TUSFM_DATA_DIR": str(tmp_path / "data"), "PATH": os.environ["PATH"]}
    for word, said in (("--version", f"tusfm {__version__}"), ("migrate", "brought from nothing")):
        command = [str(environment / "bin" / "tusfm"), word]
        done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert said in done.stdout
    file = tmp_path / "file.bin"
    file.write_bytes(os.urandom(3_000_000))
    server = ServerProcess(tmp_path / "server", {**settings, "PYTHONPATH": ""})
    server._command[0] = python
    with server, file.open("rb") as stream, urllib.request.urlopen(f"{server.url}/", timeout=10) as page:
        assert b"assets/page-" in page.read()
        uploader = client.TusClient(f"{server.url}/files/").uploader(file_stream=stream)
        uploader.upload()
        assert sha256(str(uploader.url)) == sha256(file)
