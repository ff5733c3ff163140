"""What an operator watches with: the alerts, the dashboard, and the pages that explain both."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.s3 import binary
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.metrics import Metrics, Page
from tusfm.domain.upload import State
from tusfm.ports.metadata import Census
from tusfm.ports.watching import Standing

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
NAME = re.compile(r"\btusfm_[a-z0-9_]+")
ENDS = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}


def names() -> dict[str, set[str]]:
    """Return every figure that a server has, with the names of its series."""
    metrics = Metrics()
    metrics.stands(Standing(requests=0, memory=0, budget=1, late=0))
    page = Page(metrics, SqlMetadata("sqlite:///nowhere", "test"))
    page._census = Census(uploads=dict.fromkeys(State, 0), failing=0, messages=0, oldest=0)
    return {one.name: {one.name + end for end in ENDS[one.type]} for one in metrics.registry.collect()}


def rules() -> list[dict[str, Any]]:
    """Read the alerts."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Read the dashboard."""
    read: list[dict[str, Any]] = json.loads((ROOT / "deploy" / "grafana" / "tusfm.json").read_text())["panels"]
    return read


def expressions() -> list[str]:
    """Return what the dashboard asks for, with Grafana's variables replaced."""
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return [one.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*") for one in asked]


def test_alerts_and_panels_ask_for_what_is_there() -> None:
    """Every figure that they name is one that a server has."""
    there = set().union(*names().values())
    asked = {name for text in [*(rule["expr"] for rule in rules()), *expressions()] for name in NAME.findall(text)}
    assert asked <= there
    assert len(asked) > 20


def test_who_holds_nothing_does_not_tell() -> None:
    """A worker's page has no memory of 0 bytes, and no budget to divide by."""
    told = {one.name for one in Metrics().registry.collect()}
    assert "tusfm_uploads_changed" in told
    assert not {"tusfm_processes", "tusfm_memory_budget_bytes", "tusfm_cpu_seconds"} & told


def test_every_figure_is_explained() -> None:
    """The operations page names it."""
    told = set(NAME.findall(OPERATIONS.replace("…_", "tusfm_database_")))
    assert {name for name, series in names().items() if not told & {name, *series}} == set()


def test_every_alert_has_its_section() -> None:
    """The operations page says what it means and what to do, under its own name."""
    for rule in rules():
        assert f"\n### {rule['alert']}\n" in OPERATIONS
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_panels_do_not_overlap() -> None:
    """Each has a place of its own, and an id."""
    places = [panel["gridPos"] for panel in panels()]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_promtool_finds_no_fault(tmp_path: Path) -> None:
    """The rules and the sample are well-formed, the alerts fire when they should, and the panels' expressions can be read."""
    promtool = binary("promtool")
    if promtool is None:
        pytest.skip("promtool is missing")
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "rules", tmp_path / "panels.yml"],
    ):
        done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
