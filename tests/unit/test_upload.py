"""The table of states, and the tree of errors."""

import inspect

import pytest

from tusfm.domain import errors
from tusfm.domain.upload import LIVE, TRANSITIONS, State
from tusfm.protocol.tus.errors import STATUS, text


def leaves() -> list[type[errors.TusfmError]]:
    """List the errors that nothing is derived from."""
    every = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.TusfmError)]
    return [one for one in every if not one.__subclasses__()]


def test_every_state_has_its_row() -> None:
    """The table says of each state what may follow."""
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_what_lives_can_be_terminated(state: State) -> None:
    """DELETE ends an upload in any live state."""
    assert State.TERMINATED in TRANSITIONS[state]


def test_nothing_comes_back_to_life() -> None:
    """Neither a terminated nor an expired upload becomes live again; of what is there only an unused partial expires."""
    assert not (TRANSITIONS[State.TERMINATED] | TRANSITIONS[State.EXPIRED]) & LIVE
    assert TRANSITIONS[State.AVAILABLE] == {State.EXPIRED, State.TERMINATED}


@pytest.mark.parametrize("leaf", leaves())
def test_every_error_has_its_status(leaf: type[errors.TusfmError]) -> None:
    """The tus face's one table has every leaf of the tree."""
    assert leaf in STATUS


@pytest.mark.parametrize("leaf", [one for one in leaves() if issubclass(one, errors.Unavailable)])
def test_what_is_away_gives_nothing_away(leaf: type[errors.TusfmError]) -> None:
    """G13: a driver's words never reach a client."""
    assert "10.0.0.7" not in text(leaf("cannot connect to 10.0.0.7"))
    assert STATUS[leaf].retry_after
