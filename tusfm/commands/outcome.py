"""How a command can end."""

FAILED = 1
MISUSED = 2


class Stop(Exception):
    """The command cannot go on; the text is one sentence."""
