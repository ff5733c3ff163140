"""${message}.

A step runs while the version before it still serves: add, and fill later; drop only what two versions no longer name.
"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply the step."""
    ${upgrades if upgrades else "raise NotImplementedError"}
