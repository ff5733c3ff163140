"""${message}.

A step runs while the version before it still serves: add, and fill later; drop only what two versions no longer name.
It may run again after it died in the middle, for MySQL commits each CREATE by itself: whatever is there already is left.
"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply the step."""
    ${upgrades if upgrades else "raise NotImplementedError"}
