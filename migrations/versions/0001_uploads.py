"""Uploads, what they consist of, and the outbox.

A step runs while the version before it still serves: add, and fill later; drop only what two versions no longer name.
It may run again after it died in the middle, for MySQL commits each CREATE by itself: whatever is there already is left.
"""

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

TABLE: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def _name(length: int) -> sa.types.TypeEngine[str]:
    """An id or a key: ASCII, compared whole, for MariaDB's other collations find 'abc' for 'ABC' and for 'abc  '."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine[str]:
    """Text of any length, compared whole."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def _serial() -> sa.types.TypeEngine[int]:
    """A number that counts up; SQLite does that for INTEGER only."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(name, *columns, if_not_exists=True, **TABLE)


def _index(name: str, table: str, columns: list[str]) -> None:
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    if name not in there:
        op.create_index(name, table, columns)


def upgrade() -> None:
    """Apply the step."""
    _uploads()
    _consists_of()
    _beside()
    _table(
        "deployment",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", _name(32), nullable=False),
        sa.Column("secret", _name(64), nullable=False),
    )
    if op.get_bind().execute(sa.text("SELECT COUNT(*) FROM deployment")).scalar() == 0:
        values = {"name": secrets.token_hex(8), "secret": secrets.token_hex(32)}
        op.get_bind().execute(sa.text("INSERT INTO deployment (id, name, secret) VALUES (1, :name, :secret)"), values)


def _uploads() -> None:
    _table(
        "uploads",
        sa.Column("id", _name(36), primary_key=True),
        sa.Column("state", _name(12), nullable=False),
        sa.Column("role", _name(8), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("upload_offset", sa.BigInteger, nullable=False),
        sa.Column("upload_length", sa.BigInteger),
        sa.Column("metadata", _long_text(), nullable=False),
        sa.Column("concat", _long_text()),
        sa.Column("list_digest", _name(64)),
        sa.Column("object_key", _name(255)),
        sa.Column("multipart", _name(1024)),
        sa.Column("multipart_at", sa.BigInteger),
        sa.Column("next_part", sa.Integer, nullable=False),
        sa.Column("writer", _name(32)),
        sa.Column("answers", sa.SmallInteger, nullable=False),
        sa.Column("wanted", sa.SmallInteger, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", _long_text()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
    )
    _index("uploads_writer", "uploads", ["writer"])
    _index("uploads_state_expires", "uploads", ["state", "expires_at"])
    _index("uploads_state_ended", "uploads", ["state", "ended_at"])
    _index("uploads_state_role", "uploads", ["state", "role"])
    _index("uploads_list", "uploads", ["list_digest"])


def _consists_of() -> None:
    _table(
        "extents",
        sa.Column("upload_id", _name(36), primary_key=True),
        sa.Column("kind", _name(8), primary_key=True),
        sa.Column("first_byte", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("object_key", _name(255), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("etag", _name(255), nullable=False),
    )
    _table(
        "composed_parts",
        sa.Column("upload_id", _name(36), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("etag", _name(255), nullable=False),
    )
    _table(
        "partials",
        sa.Column("final_id", _name(36), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("partial_id", _name(36), nullable=False),
    )
    _index("partials_partial", "partials", ["partial_id"])


def _beside() -> None:
    _table(
        "outbox",
        sa.Column("number", _serial(), primary_key=True, autoincrement=True),
        sa.Column("message_id", _name(36), nullable=False),
        sa.Column("kind", _name(16), nullable=False),
        sa.Column("upload_id", _name(36), nullable=False),
        sa.Column("body", _long_text(), nullable=False),
        sa.Column("process", _name(32), nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
    )
    _index("outbox_process", "outbox", ["process", "number"])
    _index("outbox_written", "outbox", ["written_at"])
    _table(
        "processes",
        sa.Column("id", _name(32), primary_key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    _table(
        "duties",
        sa.Column("name", _name(32), primary_key=True),
        sa.Column("process", _name(32), nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
    )
