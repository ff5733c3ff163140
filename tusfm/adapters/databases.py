"""The two databases behind one face: how a transaction is run, and each difference between the dialects.

Transactions are plain functions of a connection, written once; `database_sqlite` and `database_mysql` run them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection, TextClause, text

T = TypeVar("T")
Work = Callable[[Connection], T]
Seen = Callable[[Connection], bool]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQL says differently: the clock in ms since 1970, and how rows are locked."""

    now: str
    for_update: str

    def sql(self, statement: str) -> TextClause:
        """Make a statement of a text with {now} and {for_update} in it."""
        return text(statement.replace("{now}", self.now).replace("{for_update}", self.for_update))


SQLITE = Dialect(now="CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)", for_update="")
MYSQL = Dialect(now="CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", for_update="FOR UPDATE")


class Database(Protocol):
    """Runs transactions. Errors of drivers end here."""

    dialect: Dialect

    async def start(self) -> None:
        """Open what has to be open."""

    async def close(self) -> None:
        """Close everything."""

    async def read(self, work: Work[T]) -> T:
        """Run a reading function. MetadataUnavailable."""

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction; an IntegrityError passes through.

        A sure failure is tried again for a while, then MetadataUnavailable. When the answer to COMMIT was lost it is run
        again; if that finds nothing to do, *seen* tells whether it had been done. OutcomeUnknown if nobody can tell.
        """
