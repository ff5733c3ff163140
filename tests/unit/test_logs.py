"""What a line of the log cannot hold."""

import logging
import subprocess
import sys

import pytest

from tusfm.logs import REQUEST, Text, printable

FULL = """
import errno, logging
from tusfm.logs import configure

class Full:
    def write(self, line):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        pass

configure("text", "info")
logging.info("written")
logging.getLogger().handlers[0].setStream(Full())
logging.info("lost")
"""


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("plain text, Grüße, 文件", "plain text, Grüße, 文件"),
        ("a\nb\rc", "a\\nb\\rc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u2028b\u0085c", "a\\u2028b\\x85c"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_is_not_printable_is_escaped(said: str, written: str) -> None:
    """Line ends of every kind, terminal sequences of both, and marks that turn the direction of writing."""
    assert printable(said) == written


def test_a_line_of_a_request_bears_its_id() -> None:
    """And a line of none does not."""
    record = logging.LogRecord("tusfm", logging.INFO, "", 0, "said: %s", ("a\nb",), None)
    record.created = 0
    assert Text().format(record).endswith(" INFO tusfm: said: a\\nb")
    token = REQUEST.set("abc")
    assert Text().format(record).endswith(" INFO tusfm: said: a\\nb request=abc")
    REQUEST.reset(token)


def test_a_traceback_looks_like_no_line() -> None:
    """An error's text may be a client's, and every line of it is set in."""
    try:
        raise ValueError("a\n2026-01-01T00:00:00 ERROR tusfm: forged\u20282026 ERROR\x1b[31m")
    except ValueError:
        record = logging.LogRecord("tusfm", logging.ERROR, "", 0, "it failed", (), sys.exc_info())
    first, *rest = Text().format(record).splitlines()
    assert first.endswith("it failed")
    assert len(rest) > 3
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_a_line_that_cannot_be_written_brings_no_traceback() -> None:
    """The disk of the log is full, and has room again when logging would tell of it."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines()[0].endswith(" INFO root: written")
    assert len(done.stderr.splitlines()) == 1
