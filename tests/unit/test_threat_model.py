"""docs/threat-model.md names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "threat-model.md"


def test_every_threat_has_a_test() -> None:
    """Each row names one test or more, and each of them is defined where it says."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| They try")]
    assert rows
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, name in named:
            assert re.search(rf"def {name}\b", (TESTS / file).read_text()), f"{file}::{name}"
