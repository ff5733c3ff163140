"""Files that arrive in chunks: their chunks, what is on its way to them, and what is known of them.

A step runs while the version before it still serves: add, and fill later; drop only what two versions no longer name.
It may run again after it died in the middle, for MySQL commits each CREATE by itself: whatever is there already is left.
"""

import sqlalchemy as sa
from alembic import context, op

from migrations.old_service import bring_over
from migrations.schema import column, index, long_text, name, serial, table, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the step."""
    column("uploads", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    _chunks()
    _files()
    bring_over(op.get_bind(), context.config.attributes["told"])


def _chunks() -> None:
    table(
        "intents",
        sa.Column("seq", serial(), primary_key=True, autoincrement=True),
        sa.Column("name", name(32), nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
    )
    index("intents_name", "intents", ["name"], unique=True)
    index("intents_begun", "intents", ["begun_at"])
    table(
        "chunks",
        sa.Column("upload_id", name(36), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("name", name(32), nullable=False),
        sa.Column("sizes", long_text(), nullable=False),
    )
    index("chunks_name", "chunks", ["name"], unique=True)


def _files() -> None:
    table(
        "chunked_files",
        sa.Column("id", name(36), primary_key=True),
        sa.Column("upload_id", name(36), nullable=False),
        sa.Column("object_key", name(255)),
        sa.Column("path", text(255), nullable=False),
        sa.Column("content_type", text(255), nullable=False),
        sa.Column("credential", long_text()),
        sa.Column("detail", long_text()),
        sa.Column("total_chunks", sa.Integer),
        sa.Column("total_size", long_text()),
    )
    index("chunked_files_upload", "chunked_files", ["upload_id"], unique=True)
    table(
        "former_keys",
        sa.Column("upload_id", name(36), primary_key=True),
        sa.Column("object_key", name(255), primary_key=True),
    )
