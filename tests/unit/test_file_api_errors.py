"""The old API's table of errors."""

import pytest

from compat_api.errors import AWAY, FAILED, answer_to
from tests.unit.test_upload import leaves
from tusfm.domain import errors


@pytest.mark.parametrize("leaf", [one for one in leaves() if issubclass(one, errors.Unavailable)])
def test_what_is_away_is_503(leaf: type[errors.TusfmError]) -> None:
    """Whatever is away, the client reads the same sentence, and when to try again."""
    answer = answer_to(leaf("cannot connect to 10.0.0.7"))
    assert (answer.status, answer.message, answer.retry_after) == (503, AWAY, 5)


def test_what_nobody_foresaw_is_500() -> None:
    """An error that the API's requests cannot cause gives nothing away."""
    answer = answer_to(errors.BytesLost("10.0.0.7"))
    assert (answer.status, answer.message) == (500, FAILED)
