"""Connections to a SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from connectory.store.transactions import PATIENCE


def open_engine(url: URL, *, begin: str, size: int, patience: float = PATIENCE) -> AsyncEngine:
    """``size`` connections at most. Transactions start with ``begin``, and wait ``patience`` seconds for a lock."""
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience,
        connect_args={"timeout": patience, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        try:
            _set_pragmas(connection)
        except BaseException:
            connection.close()  # or its thread would outlive us
            raise

    # the driver's own transaction handling is off (isolation_level None), so that BEGIN is said as we mean it
    @event.listens_for(engine.sync_engine, "begin")
    def say_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def probe(file: str, patience: float) -> None:
    """Open the file without the driver, whose thread outlives a failure to open. That somebody else writes, for longer
    than ``patience``, is no failure. Raises sqlite3.Error, OSError."""
    folder = Path(file).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist")
    with closing(sqlite3.connect(file, timeout=patience, isolation_level=None)) as connection:
        connection.execute("PRAGMA schema_version")
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise


def checkpoint(file: str) -> None:
    """Carry the write-ahead log over into the file, as far as its readers let us; nobody waits."""
    with closing(sqlite3.connect(file, timeout=PATIENCE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def begin_log_anew(file: str, patience: float) -> bool:
    """Carry all of the write-ahead log over into the file and cut it to nothing. Writers wait meanwhile, for what is
    not carried over yet. False: somebody read an older state for all of ``patience``, in seconds, or wrote."""
    with closing(sqlite3.connect(file, timeout=patience)) as connection:
        (busy, *_), *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not busy


async def interrupt(connection: Any) -> None:
    """End the statement under way on a connection of the driver; it fails."""
    await connection.interrupt()


def _set_pragmas(connection: Any) -> None:
    cursor = connection.cursor()
    # NORMAL with WAL survives a kill; only a power cut may take the last commits, never the file's integrity
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
