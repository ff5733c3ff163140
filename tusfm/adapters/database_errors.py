"""What a database's errors mean: which may pass, and what an operator is told."""

import sqlite3

from sqlalchemy.exc import DBAPIError

from tusfm.domain.errors import MetadataUnavailable

NOT_MIGRATED = "the database is not migrated; run 'tusfm migrate'"
NOT_THERE = "the database is not there; run 'tusfm migrate'"
NO_ANSWER = "the database does not answer; look at MYSQL_HOST and MYSQL_PORT, and whether it runs"
ADVICE = {
    1021: "the database's disk is full; give it room",
    1040: "the database has too many connections; raise its max_connections, or lower TUSFM_MYSQL_POOL",
    1044: "the database forbids it; grant the user all rights on the database of MYSQL_DATABASE",
    1045: "the database does not accept us; look at MYSQL_USER, MYSQL_PASSWORD and MYSQL_ROOT_PASSWORD",
    1049: "there is no database of this name; create it, or look at MYSQL_DATABASE",
    1054: NOT_MIGRATED,
    1114: "the database is full; give it room",
    1142: "the database forbids it; grant the user all rights on the database of MYSQL_DATABASE",
    1146: NOT_MIGRATED,
    1290: "the database is read-only; look at its read_only, or whether MYSQL_HOST is a replica",
    1836: "the database is read-only; look at its read_only, or whether MYSQL_HOST is a replica",
    2002: NO_ANSWER,
    2003: NO_ANSWER,
    2013: NO_ANSWER,
}
"""What MySQL's errors ask an operator to do."""
BROKEN = (OSError, EOFError, RuntimeError)
"""A connection that is gone, or time that ran out (an OSError too); asyncmy and uvloop say RuntimeError when it is closed
under them."""
PASSING = {1040, 1158, 1159, 1160, 1161, 1205, 1213, 2002, 2003, 2006, 2013, 2014, 2055, 1053, 1927, 0}


def passing(error: BaseException) -> bool:
    """Tell whether the same transaction may do better in a moment: deadlocks, and connections lost or refused."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, BROKEN)
    arguments = getattr(error.orig, "args", ())
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    return error.connection_invalidated or code in PASSING


def unavailable(error: BaseException) -> MetadataUnavailable:
    """Return what leaves an adapter in the place of a driver's error."""
    return MetadataUnavailable(words(error))


def words(error: BaseException) -> str:
    """Say what went wrong in the driver's words, without the statement and its parameters; for the log."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.OperationalError) and str(original).startswith(("no such table", "no such column")):
        return NOT_MIGRATED
    arguments = getattr(original, "args", ())
    if arguments and arguments[0] in ADVICE:
        return ADVICE[arguments[0]]
    if isinstance(original, BROKEN):
        return NO_ANSWER
    return f"the database said: {original}" if str(original) else f"the database: {type(original).__name__}"
