"""The connection to the store: two pools, one for writing and one for reading, on SQLite and on PostgreSQL.

A read transaction is one snapshot: WAL on SQLite, REPEATABLE READ on PostgreSQL. Writers take turns.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from connectory.address import STORES, Address
from connectory.mistakes import Mistake
from connectory.store import migration
from connectory.store.postgres import Postgres
from connectory.store.words import in_our_words
from connectory.store.writing import Writing, reason

#: Seconds to wait for a lock or a connection.
_PATIENCE = 30
#: The same where somebody waits for an answer.
_SHORT_PATIENCE = 5.0
#: Snapshots that may be open at once.
_READERS = 8


class StoreError(Mistake):
    """The store cannot be used. The message is for people and holds no password."""


class StoreUnreachable(StoreError):
    """No connection to the database, or its file cannot be opened."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of the program."""


class Store:
    """What the gateway remembers, at ``url``: ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``.

    ``short_patience``: seconds for which whoever waits for an answer waits for the store. Raises StoreError for any
    other URL.
    """

    def __init__(self, url: str, *, short_patience: float = _SHORT_PATIENCE) -> None:
        self.address = _address(url)
        #: the database, where it is one of PostgreSQL, and the file otherwise
        self.postgres = None if self.address.backend == "sqlite" else Postgres(self.address)
        self.file = ""
        self.leases = _Leases(self.postgres)
        #: how the writes of this process fare
        self.writing = Writing(short_patience)
        if self.postgres is None:
            place = _sqlite_url(self.address)
            self.file = place.database or ""
            self._writer = _sqlite_engine(place, begin="BEGIN IMMEDIATE", size=1)
            self._hurried = _sqlite_engine(place, begin="BEGIN IMMEDIATE", size=2, patience=short_patience)
            self._reader = _sqlite_engine(place, begin="BEGIN", size=_READERS)
        else:
            self._writer = _pool(self.postgres, size=4)
            self._hurried = _pool(self.postgres, size=2, patience=short_patience)
            self._reader = _pool(self.postgres, size=_READERS, isolation_level="REPEATABLE READ")

    @property
    def is_sqlite(self) -> bool:
        return self.postgres is None

    def __str__(self) -> str:
        """Its URL, as it may be shown."""
        return str(self.address)

    async def open(self) -> None:
        """Make sure that the database answers. Raises StoreUnreachable."""
        with self.in_words(StoreUnreachable):
            if self.is_sqlite:
                await asyncio.to_thread(_probe, self.file)
            async with self._writer.connect() as connection:
                await connection.execute(text("SELECT 1"))

    @contextmanager
    def in_words(self, kind: type[StoreError] = StoreError) -> Iterator[None]:
        """Around what a program cannot start without: what the database refuses becomes a StoreError of this kind."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise kind(f"store {self}: {reason(error)}") from error

    async def upgrade(self) -> None:
        """Bring the tables to this version. Several processes may try at once. Raises StoreError, and StoreTooNew."""
        with self.in_words():
            await self._upgrade()

    async def _upgrade(self) -> None:
        async with self._migrating() as connection:
            if not self.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key("migrations")})
            await self.revision(connection)
            await connection.run_sync(migration.upgrade)

    async def revision(self, connection: AsyncConnection) -> str | None:
        """Which one the tables are at; None without any. Raises StoreTooNew."""
        found: str | None = await connection.run_sync(migration.current)
        if migration.is_unknown(found):
            raise StoreTooNew(
                f"store {self} is at revision {found}, which this version of connectory does not know (it knows up "
                f"to {migration.head()}): a newer version has written it. Use that version, or another store."
            )
        return found

    @asynccontextmanager
    async def _migrating(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may take as long as it needs: a migration of a large table does."""
        if self.postgres is None:
            async with self._writer.begin() as connection:
                yield connection
            return
        engine = self.postgres.engine(_PATIENCE, statements=None, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await engine.dispose()

    async def problems(self) -> list[str]:
        """Why the store cannot serve now; empty when it can."""
        try:
            async with self.read() as connection:
                found = await connection.run_sync(migration.current)
        except (DBAPIError, OSError, TimeoutError) as error:
            return [f"the store does not answer: {in_our_words(error)}"]
        if found != migration.head():
            return [
                f"the store is at revision {found}, this version needs {migration.head()}: run connectory db upgrade"
            ]
        problem = self.writing.problem()
        return [problem] if problem else []

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection within one read-only snapshot."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, hurried: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection within one transaction: committed at the end, rolled back on any exception.

        ``hurried``: somebody waits for the answer and would rather hear that it failed than wait longer.
        """
        engine = self._hurried if hurried else self._writer
        with self.writing.attempt() as attempt:
            async with engine.connect() as connection:
                self.writing.waits(attempt)
                async with connection.begin():
                    attempt.waits_since = None
                    yield connection

    async def checkpoint(self) -> None:
        """SQLite: carry the write-ahead log over into the file now, beside whoever writes, lest a commit has to do it
        while others wait. PostgreSQL does so by itself."""
        if self.is_sqlite:
            await asyncio.to_thread(_checkpoint, self.file)

    async def close(self) -> None:
        await self.leases.close()
        await self._writer.dispose()
        await self._hurried.dispose()
        await self._reader.dispose()


async def upgrade(url: str) -> None:
    """Bring the store at ``url`` to this version and do nothing else. Raises StoreError."""
    store = Store(url)
    try:
        await store.open()
        await store.upgrade()
    finally:
        await store.close()


class _Leases:
    """Which systems this process polls: on PostgreSQL the holder of a system's advisory lock does; on SQLite, we do."""

    def __init__(self, postgres: Postgres | None) -> None:
        # all systems wait for this one connection: a server that has gone silent must not hold them for ever
        self._engine = None
        if postgres is not None:
            self._engine = postgres.engine(_PATIENCE, statements=_PATIENCE, poolclass=NullPool)
        self._connection: AsyncConnection | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()
        #: how many connections have held leases; with each of them everything was free for others in between
        self._term = 0

    async def hold(self, system: str) -> int | None:
        """Take the lease, or make sure that it is still ours; None when another process has it.

        Gives the number of the term: when it is another than before, others may have polled meanwhile. Raises what the
        database raises when it is down.
        """
        if self._engine is None:
            return self._term
        async with self._turn:
            if self._connection is not None and not await self._alive():
                await self._drop()
            if self._connection is None:
                connection = await self._engine.connect()
                self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
                self._term += 1
            if system not in self._held:
                taken = await self._connection.execute(
                    text("SELECT pg_try_advisory_lock(:key)"), {"key": _lock_key(f"system:{system}")}
                )
                if not taken.scalar():
                    return None
                self._held.add(system)
            return self._term

    async def _alive(self) -> bool:
        assert self._connection is not None
        try:
            await self._connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):  # also the library's own, of a connection that broke before
            return False
        return True

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        if self._engine is not None:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            self._held.clear()
            await self._engine.dispose()


def _address(url: str) -> Address:
    try:
        return Address.read(url)
    except ValueError as error:
        raise StoreError(f"the store's URL {error}; use {STORES}") from None


def _sqlite_url(address: Address) -> URL:
    try:
        url = make_url(address.url).set(drivername="sqlite+aiosqlite")
    except (ArgumentError, ValueError):
        raise StoreError(f"the store's URL cannot be read; use {STORES}") from None
    if not url.database or url.database == ":memory:":
        raise StoreError("the store needs a file: sqlite:///FILE")
    return url


def _pool(postgres: Postgres, *, size: int, patience: float = _PATIENCE, **more: Any) -> AsyncEngine:
    return postgres.engine(patience, statements=patience, pool_size=size, pool_pre_ping=True, **more)


def _sqlite_engine(url: URL, *, begin: str, size: int, patience: float = _PATIENCE) -> AsyncEngine:
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


def _probe(file: str) -> None:
    """Open the file without the driver, whose thread outlives a failure to open. Raises sqlite3.Error, OSError."""
    folder = Path(file).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist")
    with closing(sqlite3.connect(file, timeout=_PATIENCE)) as connection:
        connection.execute("PRAGMA schema_version")


def _checkpoint(file: str) -> None:
    with closing(sqlite3.connect(file, timeout=_PATIENCE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _set_pragmas(connection: Any) -> None:
    cursor = connection.cursor()
    # NORMAL with WAL survives a kill; only a power cut may take the last commits, never the file's integrity
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _lock_key(name: str) -> int:
    """A 64-bit key for PostgreSQL's advisory locks."""
    return int.from_bytes(hashlib.blake2b(f"connectory:{name}".encode(), digest_size=8).digest(), "big", signed=True)
