"""Owners of uploads with their limits, API keys, and what each owner and the deployment hold."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

TABLE: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def _name(length: int) -> sa.types.TypeEngine[str]:
    """An id: ASCII, compared whole."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


def _words(length: int) -> sa.types.TypeEngine[str]:
    """Text of any script, compared whole."""
    kind = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(kind, "mysql", "mariadb")


def upgrade() -> None:
    """Apply the step; it may run again after it died in the middle."""
    _add("uploads", sa.Column("owner", _words(255)))
    _add("uploads", sa.Column("size_limit", sa.BigInteger))
    _add("uploads", sa.Column("lifetime", sa.BigInteger))
    _add("uploads", sa.Column("charged", sa.BigInteger))
    _add("uploads", sa.Column("counted", sa.SmallInteger, nullable=False, server_default="0"))
    op.create_table(
        "api_keys",
        sa.Column("id", _name(16), primary_key=True),
        sa.Column("digest", _name(64), nullable=False),
        sa.Column("owner", _words(255), nullable=False),
        sa.Column("max_size", sa.BigInteger),
        sa.Column("types", sa.Text),
        sa.Column("lifetime", sa.BigInteger),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        if_not_exists=True,
        **TABLE,
    )
    op.create_table(
        "accounts",
        sa.Column("name", _words(256), primary_key=True),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("unfinished", sa.BigInteger, nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE,
    )


def _add(table: str, column: sa.Column[Any]) -> None:
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
