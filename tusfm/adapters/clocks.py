"""Clocks of other machines, held against ours."""

import time

from tusfm.domain.errors import Unavailable

MOST_APART_SECONDS = 60


def compare_clocks(told: float) -> None:
    """Take another machine's time, in seconds since 1970. Unavailable when it is a minute or more from ours."""
    ahead = told - time.time()
    if abs(ahead) >= MOST_APART_SECONDS:
        msg = f"it is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} this machine's; set the clocks"
        raise Unavailable(msg)
