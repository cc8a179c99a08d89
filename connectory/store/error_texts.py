"""What a database's failure is called before clients and probes. Its own text names tables, hosts and users, and tells
nobody outside what to do; the log has that. And what a failure means to those who have to act upon it.
"""

import os
import sqlite3

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as NoConnection

from connectory.errors import Mistake

#: Whatever the database refuses, and whatever cannot be brought before it.
DatabaseError = SQLAlchemyError

#: SQLite's primary result code → our words.
_SQLITE = {
    sqlite3.SQLITE_ERROR: "its tables are not those of this version",
    sqlite3.SQLITE_PERM: "its file may not be used",
    sqlite3.SQLITE_BUSY: "the database is locked by somebody else",
    sqlite3.SQLITE_LOCKED: "the database is locked by somebody else",
    sqlite3.SQLITE_READONLY: "its file may not be written",
    sqlite3.SQLITE_IOERR: "its file cannot be read or written",
    sqlite3.SQLITE_CORRUPT: "its file is damaged",
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_SCHEMA: "its tables are not those of this version",
    sqlite3.SQLITE_NOTADB: "its file is no database",
}
#: PostgreSQL's SQLSTATE, or the class that it belongs to → our words.
_POSTGRES = {
    "08": "the connection to the database is lost",
    "25006": "the database takes read-only transactions alone",
    "28": "the database refuses our credentials",
    "3D": "the database does not exist",
    "40": "others wrote at the same time",
    "42": "its tables are not those of this version",
    "42501": "the database lets us do too little",
    "53": "the database lacks resources",
    "53100": "the disk of the database is full",
    "53300": "the database takes no more connections",
    "55P03": "the database is locked by somebody else",
    "57014": "the database took too long",
    "57P": "the database is stopping or starting",
    "58": "the database cannot use its files",
    "XX": "the database is damaged or has failed",
}
#: Of these, those that say nothing of what was asked: the same may be answered in a while.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
_PASSING_STATES = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")


def is_unavailable(error: BaseException) -> bool:
    """Whether it is the store that gave no answer now, and nothing is wrong with what it was asked."""
    if isinstance(error, NoConnection | OSError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in _PASSING
    if state := getattr(original, "sqlstate", None):
        return str(state).startswith(_PASSING_STATES)
    return error.connection_invalidated or isinstance(error, InterfaceError)


def may_recover(error: BaseException) -> bool:
    """Whether whoever can wait does better to try again than to be told: the store gave no answer, or another version
    is changing SQLite's tables."""
    return is_unavailable(error) or isinstance(error, OperationalError)


def lies_in_the_values(error: Exception) -> bool:
    """Whether a write failed for what it was to store, and not because of the store."""
    if isinstance(error, IntegrityError):  # a row that is there already is another writer's doing
        return "null" in str(error.orig).lower()
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, AttributeError | OverflowError | TypeError | ValueError):
        reason = reason.orig if isinstance(reason, StatementError) else reason.__cause__
    return reason is not None


def in_our_words(error: BaseException) -> str:
    """Why a statement failed or no connection came about."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.Error) and (code := getattr(original, "sqlite_errorcode", None)) is not None:
        return _SQLITE.get(code & 0xFF, f"SQLite fails with its code {code}")
    if state := getattr(original, "sqlstate", None):
        known = (_POSTGRES[begin] for begin in (state, state[:3], state[:2]) if begin in _POSTGRES)
        return next(known, f"PostgreSQL fails with its code {state}")
    match original:
        case Mistake():
            return "its tables are not those of this version"
        case NoConnection():
            return "no connection to the database is free"
        case TimeoutError():
            return "the database took too long"
        case OSError(errno=int(number)):
            return f"the database cannot be reached: {os.strerror(number)}"
        case OSError():
            return "the database cannot be reached"
    return "the connection to the database is lost"
