"""A short run of the simulation, with seeds that stay; `make simulate` runs more of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.guards import GUARDS, Guard
from tests.simulation.runs import run, run_many
from tests.simulation.scale import replaced
from tusfm.adapters import metadata_ending, metadata_receiving, metadata_session

ROOT = Path(__file__).parents[2]
SEEDS_AT_ONCE = 20


@pytest.mark.parametrize("first", range(0, 120, SEEDS_AT_ONCE))
def test_nothing_acknowledged_is_lost(first: int) -> None:
    """Whatever becomes of calls and processes, every invariant holds, and nothing is left over."""
    found = [(one.seed, one.violation) for one in run_many(range(first, first + SEEDS_AT_ONCE)) if one.violation]
    assert found == []


def test_a_seed_is_replayed_exactly() -> None:
    """Another process, with other addresses and hashes, prints the same trace."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "40"]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[:-1] == run(40, tracing=True).lines


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_guard_that_can_be_taken_out_is_there(guard: Guard) -> None:
    """Its stretches stand in the product's SQL, and its steps in the product's modules; else it would be missed by nobody."""
    modules = (metadata_ending, metadata_receiving, metadata_session)
    sql = [text for module in modules for text in vars(module).values() if isinstance(text, str)]
    assert all(any(stretch in text for text in sql) for stretch in guard.without.statements)
    with replaced(guard.without.places):
        pass
