"""What several of the engine's suites need."""

import pytest

from tusfm.engine import appending


@pytest.fixture
def small_bodies_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small bodies for small ones, however long a busy machine is about them."""
    monkeypatch.setattr(appending, "PROMPT_SECONDS", 3600.0)
