"""An index for uploads whose multipart upload is old: without it each sweep reads every upload that is receiving."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply the step; it may run again after it died in the middle. The database serves meanwhile."""
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("uploads")}
    if "uploads_state_multipart" not in there:
        op.create_index("uploads_state_multipart", "uploads", ["state", "multipart_at"])
