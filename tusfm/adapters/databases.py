"""The two databases behind one face: how a transaction is run, and each difference between the dialects.

Transactions are plain functions of a connection, written once; `database_sqlite` and `database_mysql` run them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import NoResultFound

T = TypeVar("T")
Row = Sequence[Any]


class Rows:
    """What a statement brought: all of it was read, so that the driver's errors end where it was executed."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rowcount: int, rows: Sequence[Row]) -> None:
        """Take what the driver has read. *rowcount*: how many rows a change found."""
        self.rowcount = rowcount
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows."""
        return iter(self._rows)

    def all(self) -> Sequence[Row]:
        """Return the rows."""
        return self._rows

    def first(self) -> Row | None:
        """Return the first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """Return the only row. NoResultFound."""
        if not self._rows:
            raise NoResultFound("no row was found")
        return self._rows[0]

    def scalar(self) -> Any:  # noqa: ANN401  a column's value
        """Return the first row's first value, None where there is no row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:  # noqa: ANN401  a column's value
        """Return the only row's first value. NoResultFound."""
        return self.one()[0]


class Connection(Protocol):
    """What transactions ask of a connection."""

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Rows:
        """Execute a statement as the driver has it. SQLAlchemyError."""

    def post(self, statement: str, values: Mapping[str, Any], /) -> None:
        """Execute a statement that is asked nothing, with the next one or the commit at the latest, which may fail for it.

        SQLAlchemyError.
        """


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
