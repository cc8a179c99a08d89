"""What a failure of the store is called before clients."""

import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from connectory.store.error_texts import in_our_words


def of_sqlite(code: int | None) -> DBAPIError:
    error = sqlite3.OperationalError("no such table: swordfish")
    if code is not None:
        error.sqlite_errorcode = code
    return DBAPIError("SELECT swordfish", None, error)


def of_postgres(state: str | None) -> DBAPIError:
    error: Any = Exception('relation "swordfish" does not exist')
    error.sqlstate = state
    return DBAPIError("SELECT swordfish", None, error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (of_sqlite(sqlite3.SQLITE_ERROR), "its tables are not those of this version"),
        (of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), "the database is locked by somebody else"),
        (of_sqlite(sqlite3.SQLITE_IOERR_WRITE), "its file cannot be read or written"),
        (of_sqlite(sqlite3.SQLITE_MISUSE), "SQLite fails with its code 21"),
        (of_sqlite(None), "the connection to the database is lost"),
        (of_postgres("42P01"), "its tables are not those of this version"),
        (of_postgres("42501"), "the database lets us do too little"),
        (of_postgres("57P03"), "the database is stopping or starting"),
        (of_postgres("0A000"), "PostgreSQL fails with its code 0A000"),
        (of_postgres(None), "the connection to the database is lost"),
        (NoConnection("QueuePool limit of size 8 overflow 0 reached"), "no connection to the database is free"),
        (TimeoutError("swordfish"), "the database took too long"),
        (ConnectionRefusedError(111, "Connect call failed ('swordfish', 5432)"),
         "the database cannot be reached: Connection refused"),
        (OSError("Multiple exceptions: swordfish"), "the database cannot be reached"),
    ],
)  # fmt: skip
def test_it_is_said_in_our_words(error: Exception, words: str) -> None:
    assert in_our_words(error) == words
