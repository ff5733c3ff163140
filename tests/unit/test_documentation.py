"""The documentation: whether it is up to date, and whether the site can be built."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.compose import ROOT
from tests.documentation.configuration import PAGE, page
from tusfm import __version__
from tusfm.domain.upload import TRANSITIONS

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def test_the_settings_page_is_what_the_settings_are() -> None:
    """docs/configuration.md is made of the settings as they are; `python -m tests.documentation.configuration` writes it."""
    assert PAGE.read_text() == page()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every link leads to a page and a heading, every text that a page takes in is there."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_diagram_of_states_is_the_table() -> None:
    """The architecture page draws the transitions that there are, and no others."""
    drawn = re.findall(r"^  (\w+) --> (\w+)$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert set(drawn) == {(str(state), str(other)) for state, others in TRANSITIONS.items() for other in others}


def test_the_changes_tell_of_this_version() -> None:
    """The first version that CHANGELOG.md tells of is the one that this is."""
    versions = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_is_there(path: Path) -> None:
    """A file of this repository that a page names in code exists."""
    named = re.findall(r"`((?:tusfm|tests|deploy|docs|benchmarks|compat_api|migrations)/[\w./-]+)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
