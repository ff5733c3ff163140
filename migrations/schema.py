"""Columns and tables as all steps make them; each leaves what is there already."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

TABLE: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


def name(length: int) -> sa.types.TypeEngine[str]:
    """An id or a key: ASCII, compared whole, for MariaDB's other collations find 'abc' for 'ABC' and for 'abc  '."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")


def text(length: int) -> sa.types.TypeEngine[str]:
    """Text of so many characters, compared whole."""
    kind = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(kind, "mysql", "mariadb")


def long_text() -> sa.types.TypeEngine[str]:
    """Text of any length, compared whole."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def serial() -> sa.types.TypeEngine[int]:
    """A number that counts up; SQLite does that for INTEGER only."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def table(named: str, *columns: sa.Column[Any]) -> None:
    """Make a table. A number that counts up is never given out again, in SQLite either."""
    op.create_table(named, *columns, if_not_exists=True, **TABLE, **_counting(columns))


def _counting(columns: tuple[sa.Column[Any], ...]) -> dict[str, bool]:
    return {"sqlite_autoincrement": True} if any(column.autoincrement is True for column in columns) else {}


def index(named: str, on: str, columns: list[str], *, unique: bool = False) -> None:
    """Make an index, of columns as SQL writes them there."""
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_indexes(on)}
    if named not in there:
        op.create_index(named, on, [sa.text(one) for one in columns], unique=unique)


def column(on: str, added: sa.Column[Any]) -> None:
    """Add a column; one that must have a value needs a default, for the version before does not name it."""
    there = {one["name"] for one in sa.inspect(op.get_bind()).get_columns(on)}
    if added.name not in there:
        op.add_column(on, added)
