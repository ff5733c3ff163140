"""The two databases behind one face: how a transaction is run, and each difference between the dialects.

Transactions are plain functions of a connection, written once; `database_sqlite` and `database_mysql` run them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import text
from sqlalchemy.engine.default import DefaultDialect

T = TypeVar("T")


class Rows(Protocol):
    """What a statement brought, as SQLAlchemy's CursorResult has it."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""

    def __iter__(self) -> Iterator[Sequence[Any]]:
        """Return row after row."""

    def all(self) -> Sequence[Sequence[Any]]:
        """Return all rows."""

    def first(self) -> Sequence[Any] | None:
        """Return the first row, if there is one."""

    def one(self) -> Sequence[Any]:
        """Return the only row."""

    def scalar(self) -> Any:  # noqa: ANN401  a column's own
        """Return the first row's first column, if there is a row."""

    def scalar_one(self) -> Any:  # noqa: ANN401  a column's own
        """Return the only row's first column."""


class Connection(Protocol):
    """What transactions ask of a connection; SQLAlchemy's is one."""

    def exec_driver_sql(self, statement: str, parameters: Any = ..., /) -> Rows:  # noqa: ANN401  the driver's own
        """Execute a statement as the driver has it. SQLAlchemyError."""


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
