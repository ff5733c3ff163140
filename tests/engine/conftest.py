"""What several of the engine's suites need."""

import pytest

from tusfm.engine import appending, finalization, reading


@pytest.fixture(autouse=True)
def _readers_are_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FINISH_SECONDS", 60.0)


@pytest.fixture
def small_bodies_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small bodies for small ones, however long a busy machine is about them."""
    monkeypatch.setattr(appending, "PROMPT_SECONDS", 3600.0)


@pytest.fixture
def attempts_follow_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often for what is to be finished, and was not at the first attempt."""
    monkeypatch.setattr(finalization, "RESUME_SECONDS", 0.2)
