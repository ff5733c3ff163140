"""An index for uploads whose multipart upload is old: without it each sweep reads every upload that is receiving."""

from migrations.schema import index

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply the step. The database serves meanwhile."""
    index("uploads_state_multipart", "uploads", ["state", "multipart_at"])
