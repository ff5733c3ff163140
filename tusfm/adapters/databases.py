"""The two databases behind one face: how a transaction is run, and each difference between the dialects.

Transactions are plain functions of a connection, written once; `database_sqlite` and `database_mysql` run them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine.default import DefaultDialect

T = TypeVar("T")
Work = Callable[[Connection], T]
Seen = Callable[[Connection], bool]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQL says differently: the clock in ms since 1970, how rows are locked, and how the driver's values are named."""

    now: str
    for_update: str
    paramstyle: Literal["named", "pyformat"]

    def sql(self, statement: str) -> str:
        """Make the driver's own statement of a text with {now}, {for_update} and `:names` in it."""
        said = text(statement.replace("{now}", self.now).replace("{for_update}", self.for_update))
        return str(said.compile(dialect=DefaultDialect(paramstyle=self.paramstyle)))


SQLITE = Dialect("CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)", "", "named")
MYSQL = Dialect("CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", "FOR UPDATE", "pyformat")


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
