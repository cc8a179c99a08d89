"""The connection to the store: two pools, one for writing and one for reading, on SQLite and on PostgreSQL.

A read transaction is one snapshot: WAL on SQLite, REPEATABLE READ on PostgreSQL. Writers take turns.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from connectory.address import STORES, Address
from connectory.mistakes import Mistake
from connectory.store import migration, sqlite
from connectory.store.leases import Leases
from connectory.store.postgres import Postgres, lock_key
from connectory.store.postgres_leases import marker
from connectory.store.transactions import PATIENCE
from connectory.store.words import in_our_words
from connectory.store.writing import Writing, reason

#: Seconds to wait for a lock or a connection where somebody waits for an answer.
_SHORT_PATIENCE = 5.0
#: The lock keeps nobody waiting: it tells other gateways whose transaction it is.
_REVISION = {
    "sqlite": text("SELECT version_num FROM alembic_version"),
    "postgresql": text("SELECT version_num, pg_advisory_xact_lock_shared(:key) FROM alembic_version"),
}
#: Snapshots that may be open at once.
_READERS = 8


class StoreError(Mistake):
    """The store cannot be used. The message is for people and holds no password."""


class StoreUnreachable(StoreError):
    """No connection to the database, or its file cannot be opened."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of the program."""

    def __init__(self, store: "Store", revision: str | None) -> None:
        super().__init__(
            f"store {store} is at revision {revision}, which this version of connectory does not know (it knows up to "
            f"{migration.head()}): a newer version has written it. Use that version, or another store."
        )


class StoreUpgraded(StoreTooNew):
    """A newer version has upgraded the store while this one was at work: nothing that the user has got wrong."""

    status = 1


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
        self.leases = Leases(self)
        #: set once a newer version was found to have upgraded the tables, and to which revision
        self._is_upgraded = asyncio.Event()
        self._revision: str | None = None
        #: how the writes of this process fare
        self.writing = Writing(short_patience)
        if self.postgres is None:
            place = _sqlite_url(self.address)
            self.file = place.database or ""
            self._writer = sqlite.open_engine(place, begin="BEGIN IMMEDIATE", size=1)
            self._hurried = sqlite.open_engine(place, begin="BEGIN IMMEDIATE", size=2, patience=short_patience)
            self._reader = sqlite.open_engine(place, begin="BEGIN", size=_READERS)
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
                await asyncio.to_thread(sqlite.probe, self.file)
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
        async with self.migrating() as connection:
            if not self.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migrations")})
            if await self.revision(connection) not in (None, migration.head()) and not self.is_sqlite:
                # whoever writes has read the revision: they end first, and others read the new one
                await connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
            await connection.run_sync(migration.upgrade)

    async def revision(self, connection: AsyncConnection) -> str | None:
        """Which one the tables are at; None without any. Raises StoreTooNew."""
        found: str | None = await connection.run_sync(migration.current)
        if migration.is_unknown(found):
            raise StoreTooNew(self, found)
        return found

    async def check_revision(self, connection: AsyncConnection) -> None:
        """First in all that writes: the tables have to be of this version, or what is written may be wrong.

        Raises StoreUpgraded when a newer one has upgraded them, which ``until_upgraded`` tells of, and StoreError.
        """
        told = {} if self.is_sqlite else {"key": marker(self.leases.own.id)}
        found = (await connection.execute(_REVISION[connection.dialect.name], told)).scalar()
        if found == migration.head():
            return
        if migration.is_unknown(found):
            self._revision = found
            self._is_upgraded.set()
            raise StoreUpgraded(self, found)
        raise StoreError(f"store {self} is {_too_old(found)}")

    async def until_upgraded(self) -> None:
        """Wait until a newer version has upgraded the store, for ever if need be. Raises StoreUpgraded then."""
        await self._is_upgraded.wait()
        raise StoreUpgraded(self, self._revision)

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may take as long as it needs: a migration of a large table does. The tables may be of any
        version."""
        if self.postgres is None:
            async with self._writer.begin() as connection:
                yield connection
            return
        engine = self.postgres.engine(PATIENCE, statements=None, poolclass=NullPool)
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
            return [f"the store is {_too_old(found)}"]
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
                    await self.check_revision(connection)
                    yield connection

    async def checkpoint(self) -> None:
        """SQLite: carry the write-ahead log over into the file now, beside whoever writes, lest a commit has to do it
        while others wait. PostgreSQL does so by itself."""
        if self.is_sqlite:
            await asyncio.to_thread(sqlite.checkpoint, self.file)

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


def _too_old(revision: str | None) -> str:
    return f"at revision {revision}, this version needs {migration.head()}: run connectory db upgrade"


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


def _pool(postgres: Postgres, *, size: int, patience: float = PATIENCE, **more: Any) -> AsyncEngine:
    return postgres.engine(patience, statements=patience, pool_size=size, pool_pre_ping=True, **more)
