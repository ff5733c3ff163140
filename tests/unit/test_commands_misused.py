"""Arguments and answers that make no sense: each is one sentence."""

import argparse
import io
from pathlib import Path

import pytest

from tusfm import main
from tusfm.commands import serve, uploads
from tusfm.commands.amounts import age
from tusfm.commands.outcome import Stop


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["uploads", "list", "--before", f"{'9' * 30}.a"], "a mark is what the page before said"),
        (["uploads", "list", "--before", "1.\udcff"], "a mark is what the page before said"),
        (["uploads", "list", "--owner", "\udcff"], "printable characters"),
        (["keys", "revoke", "\udcff"], "printable characters"),
        (["keys", "make", "bob", "--valid", f"{'9' * 15}w"], "a hundred years"),
        (["put", "file", "--url", "http://a..b"], "must be an http or https URL"),
        (["put", "file", "--url", "http://[::1"], "must be an http or https URL"),
    ],
)
def test_an_argument_that_means_nothing(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused before anything is done."""
    with pytest.raises(SystemExit):
        main.main(words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\udcff"])
def test_a_host_that_is_none(host: str) -> None:
    """It cannot be listened on, as an address that is not this machine's."""
    with pytest.raises(Stop, match="That is no host"):
        serve._listen(host, 0)


def test_ages_have_an_end() -> None:
    """What is longer than a hundred years ends behind the last year that can be written."""
    assert age("5000w") == 5000 * 604800
    with pytest.raises(argparse.ArgumentTypeError):
        age("6000w")


class Terminal(io.StringIO):
    """Somebody who closes their terminal in place of an answer."""

    def isatty(self) -> bool:
        """It looks like one."""
        return True


def test_no_answer_deletes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the input is no yes."""
    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(Stop, match="Nothing was deleted"):
        uploads._ask(1)


def test_a_profile_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """AWS's own settings are read when there is a storage to use them for, and make no traceback either."""
    monkeypatch.setenv("MINIO_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("TUSFM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(SystemExit) as raised:
        main.main(["check"])
    assert raised.value.code == 1
    assert (
        capsys.readouterr().err == "tusfm: AWS's own settings cannot be used: The config profile (nope) could not be found.\n"
    )
