"""The older endpoints beside their own description, by schemathesis."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.client import BASE
from tests.deployments import Deployment

SCHEMATHESIS = Path(sys.executable).with_name("st")
BEYOND = "positive_data_acceptance"
"""What a description of this kind cannot say: an upload that was begun, a field that is JSON, a file that is none."""


@pytest.mark.timeout(300)
def test_requests_made_from_the_description_get_the_answers_that_it_names(server: Deployment, tmp_path: Path) -> None:
    """Right and wrong fields of every kind get a status, a type and a body that are described, and never a 5xx."""
    told = ["--include-path-regex", f"^{BASE}", "--phases", "examples,coverage,fuzzing", "--exclude-checks", BEYOND]
    bounds = ["--max-examples", "10", "--seed", "1", "--generation-database", "none", "--no-color"]
    bounds += ["--suppress-health-check", "too_slow"]  # a machine that stands still is no fault of ours
    command = [str(SCHEMATHESIS), "run", f"{server.urls[0]}/docs/swagger.json", *told, *bounds]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected" in done.stdout
