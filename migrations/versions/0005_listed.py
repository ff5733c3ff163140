"""An index for the list of uploads, the newest first: without it each page reads and sorts every row."""

from migrations.schema import index

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply the step. The database serves meanwhile."""
    index("uploads_created", "uploads", ["created_at", "id"])
