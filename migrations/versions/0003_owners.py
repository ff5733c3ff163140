"""Owners of uploads with their limits, API keys, and what each owner and the deployment hold."""

import sqlalchemy as sa

from migrations.schema import column, name, table, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply the step."""
    column("uploads", sa.Column("owner", text(255)))
    column("uploads", sa.Column("size_limit", sa.BigInteger))
    column("uploads", sa.Column("lifetime", sa.BigInteger))
    column("uploads", sa.Column("charged", sa.BigInteger))
    column("uploads", sa.Column("counted", sa.SmallInteger, nullable=False, server_default="0"))
    table(
        "api_keys",
        sa.Column("id", name(16), primary_key=True),
        sa.Column("digest", name(64), nullable=False),
        sa.Column("owner", text(255), nullable=False),
        sa.Column("max_size", sa.BigInteger),
        sa.Column("types", sa.Text),
        sa.Column("lifetime", sa.BigInteger),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    table(
        "accounts",
        sa.Column("name", text(256), primary_key=True),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("unfinished", sa.BigInteger, nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
