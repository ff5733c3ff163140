"""The arithmetic of the benchmarks; what they measure is no test."""

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.client import TURN_BYTES, Content
from benchmarks.meter import quantile
from benchmarks.running import Results, median_ratio
from benchmarks.workloads import PRODUCTION, Goal


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (TURN_BYTES - 3, 10), (5, 3 * TURN_BYTES), (TURN_BYTES, 0)])
def test_an_upload_is_cut_into_stretches_of_the_content(offset: int, size: int) -> None:
    """They lie one behind another, within the content, and make the size."""
    at, total = offset, 0
    for start, step in Content(b"", -1).stretches(offset, size):
        assert start == at % TURN_BYTES
        assert 0 < step <= TURN_BYTES - start
        at, total = at + step, total + step
    assert total == size


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that was slow in one round was slow for both servers; a round without a figure does not count."""
    ours = [{"rate": 10.0}, {"rate": 2.0}, {}, {"rate": 6.0}]
    theirs = [{"rate": 5.0}, {"rate": 1.0}, {"rate": 1.0}, {"rate": 2.0}]
    assert median_ratio(ours, "rate", theirs, "rate") == 2.0
    assert median_ratio(ours, "peak", theirs, "rate") is None


def test_a_quantile_is_one_of_the_values() -> None:
    """The largest for a share of one, the smallest for none."""
    assert [quantile([3, 1, 2], share) for share in (0, 0.5, 0.99, 1)] == [1, 2, 3, 3]


def test_a_goal_knows_what_is_better() -> None:
    """At least, or at most."""
    assert Goal("rate", 1.0, 2.0).met(1.0)
    assert not Goal("rate", 1.0, 2.0).met(0.9)
    assert not Goal("peak", 400, 300, at_most=True).met(401)


def test_a_missed_goal_is_a_red_line() -> None:
    """It is said once in the table and once for the terminal."""
    results = Results()
    for name, rate in (("tusfm", 100.0), ("tusd", 100.0)):
        results.add("production", "W1", name, {"rate": rate, "cpu": 0.001})
    (workload,) = (one for one in PRODUCTION if one.name == "W1")
    said = dict(report.goals("production", workload, results))
    assert sorted(said.values()) == [False, True]  # no faster than tusd; its processor time is right
    (line,) = report.red_lines(results)
    assert "missed" in line


def test_a_section_is_replaced_between_its_markers(tmp_path: Path) -> None:
    """What stands around it stays."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: one -->\nold\n<!-- end: one -->\nafter\n")
    report.write("one", ["new"], page)
    assert page.read_text() == "before\n<!-- measured: one -->\nnew\n<!-- end: one -->\nafter\n"
