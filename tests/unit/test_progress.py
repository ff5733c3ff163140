"""How long work shows that it goes on."""

import io
import itertools
import logging

import pytest

from tusfm.commands.progress import Line, Sweeping


class Terminal(io.StringIO):
    """Somebody looks on."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """Not for each thing that is done: every ten seconds."""
    caplog.set_level(logging.INFO)
    seconds = itertools.count()
    with Line(lambda: float(next(seconds))) as line:
        watch = Sweeping(line)
        for _ in range(25):
            watch.swept("looked at")
    assert [record.getMessage() for record in caplog.records] == [
        "it goes on: looked at: 10",
        "it goes on: looked at: 20",
    ]


def test_a_terminal_shows_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never wider than the terminal, and nothing of it is left."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "30")
    seconds = itertools.count()
    with Line(lambda: float(next(seconds))) as line:
        for _ in range(3):
            line.tell(lambda: "x" * 100)
    assert terminal.getvalue() == f"\r\x1b[K{'x' * 29}" * 3 + "\r\x1b[K"
