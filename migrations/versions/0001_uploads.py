"""Uploads, what they consist of, and the outbox.

A step runs while the version before it still serves: add, and fill later; drop only what two versions no longer name.
It may run again after it died in the middle, for MySQL commits each CREATE by itself: whatever is there already is left.
"""

import secrets

import sqlalchemy as sa
from alembic import op

from migrations.schema import index, long_text, name, serial, table

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply the step."""
    _uploads()
    _consists_of()
    _beside()
    table(
        "deployment",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", name(32), nullable=False),
        sa.Column("secret", name(64), nullable=False),
    )
    if op.get_bind().execute(sa.text("SELECT COUNT(*) FROM deployment")).scalar() == 0:
        values = {"name": secrets.token_hex(8), "secret": secrets.token_hex(32)}
        op.get_bind().execute(sa.text("INSERT INTO deployment (id, name, secret) VALUES (1, :name, :secret)"), values)


def _uploads() -> None:
    table(
        "uploads",
        sa.Column("id", name(36), primary_key=True),
        sa.Column("state", name(12), nullable=False),
        sa.Column("role", name(8), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("upload_offset", sa.BigInteger, nullable=False),
        sa.Column("upload_length", sa.BigInteger),
        sa.Column("metadata", long_text(), nullable=False),
        sa.Column("concat", long_text()),
        sa.Column("list_digest", name(64)),
        sa.Column("object_key", name(255)),
        sa.Column("multipart", name(1024)),
        sa.Column("multipart_at", sa.BigInteger),
        sa.Column("next_part", sa.Integer, nullable=False),
        sa.Column("writer", name(32)),
        sa.Column("answers", sa.SmallInteger, nullable=False),
        sa.Column("wanted", sa.SmallInteger, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", long_text()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
    )
    index("uploads_writer", "uploads", ["writer"])
    index("uploads_state_expires", "uploads", ["state", "expires_at"])
    index("uploads_state_ended", "uploads", ["state", "ended_at"])
    index("uploads_state_role", "uploads", ["state", "role"])
    index("uploads_list", "uploads", ["list_digest"])


def _consists_of() -> None:
    table(
        "extents",
        sa.Column("upload_id", name(36), primary_key=True),
        sa.Column("kind", name(8), primary_key=True),
        sa.Column("first_byte", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("object_key", name(255), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("etag", name(255), nullable=False),
    )
    table(
        "composed_parts",
        sa.Column("upload_id", name(36), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("etag", name(255), nullable=False),
    )
    table(
        "partials",
        sa.Column("final_id", name(36), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("partial_id", name(36), nullable=False),
    )
    index("partials_partial", "partials", ["partial_id"])


def _beside() -> None:
    table(
        "outbox",
        sa.Column("number", serial(), primary_key=True, autoincrement=True),
        sa.Column("message_id", name(36), nullable=False),
        sa.Column("kind", name(16), nullable=False),
        sa.Column("upload_id", name(36), nullable=False),
        sa.Column("body", long_text(), nullable=False),
        sa.Column("process", name(32), nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
    )
    index("outbox_process", "outbox", ["process", "number"])
    index("outbox_written", "outbox", ["written_at"])
    table(
        "processes",
        sa.Column("id", name(32), primary_key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    table(
        "duties",
        sa.Column("name", name(32), primary_key=True),
        sa.Column("process", name(32), nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
    )
