"""The connection to the store, on SQLite and on PostgreSQL: lanes for writing and for reading.

A read transaction is one snapshot: WAL on SQLite, REPEATABLE READ on PostgreSQL. Writers take turns.
"""

import asyncio
import logging
import math
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from connectory.errors import Mistake
from connectory.lanes import CONNECTIONS, SHAPES, Lane, Patience, Shape, divide
from connectory.store import postgres, sqlite
from connectory.store.connections import LaneConnections
from connectory.store.error_texts import in_our_words
from connectory.store.leases.leases import Leases
from connectory.store.leases.postgres import marker
from connectory.store.migrations import upgrading as migration
from connectory.store.postgres import MIGRATING, READING, WRITING, Postgres, lock_key
from connectory.store.transactions import PATIENCE
from connectory.store.wal import WriteAheadLog
from connectory.store.write_health import WriteHealth, follow, reason
from connectory.store_url import STORES, Address

_log = logging.getLogger(__name__)
#: Seconds to wait for a lock or a connection where somebody waits for an answer.
_SHORT_PATIENCE = 5.0
#: Part of it after which PostgreSQL tells that a lock cannot be had, before the driver gives up.
_LOCKS = 0.6
#: Seconds that a trial has to tell whether the store can be written.
_TRIAL_WITHIN = 3.0
#: What every poll that sees something writes, in the order of its locks; here it changes nothing.
_NOTHING = (
    "UPDATE systems SET configured = configured WHERE id = (SELECT min(id) FROM systems)",
    "UPDATE log_head SET position = position",
)
#: The lock keeps nobody waiting: it tells other gateways whose transaction it is.
_REVISION = {
    "sqlite": text("SELECT version_num FROM alembic_version"),
    "postgresql": text("SELECT version_num, pg_advisory_xact_lock_shared(:key) FROM alembic_version"),
}


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

    ``connections``: at most so many to PostgreSQL, FEWEST or more. ``short_patience``: seconds for which whoever waits
    for an answer waits for the store. Raises StoreError for any other URL.
    """

    def __init__(self, url: str, *, connections: int = CONNECTIONS, short_patience: float = _SHORT_PATIENCE) -> None:
        self.address = _address(url)
        #: the database, where it is one of PostgreSQL, and the file otherwise
        self.postgres = None if self.address.backend == "sqlite" else Postgres(self.address)
        self.file = ""
        self.leases = Leases(self)
        #: set once a newer version was found to have upgraded the tables, and to which revision
        self._is_upgraded = asyncio.Event()
        self._revision: str | None = None
        #: how the writes of this process fare
        self.write_health = WriteHealth(short_patience)
        self._patiences = {Patience.SHORT: short_patience, Patience.USUAL: PATIENCE, Patience.ENDLESS: math.inf}
        self._trial: asyncio.Task[None] | None = None
        #: SQLite's; None on PostgreSQL
        self.wal: WriteAheadLog | None = None
        if self.postgres is None:
            place = _sqlite_url(self.address)
            self.file = place.database or ""
            self.wal = WriteAheadLog(self.file)
            widths = {lane: shape.sqlite for lane, shape in SHAPES.items()}
            open_engine = partial(self._sqlite_engine, place)
        else:
            widths = divide(connections)
            open_engine = partial(self._postgres_engine, self.postgres)
        self.lanes: dict[Lane, LaneConnections] = {}
        for lane, shape in SHAPES.items():
            engine = open_engine(shape, widths[lane])
            self.lanes[lane] = LaneConnections(engine, widths[lane], self._patiences[shape.patience])
            if shape.writes:
                follow(engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite; else a database of PostgreSQL."""
        return self.postgres is None

    def __str__(self) -> str:
        """Its URL, as it may be shown."""
        return str(self.address)

    async def open(self) -> None:
        """Make sure that the database answers. Raises StoreUnreachable."""
        with self.in_words(StoreUnreachable):
            if self.is_sqlite:
                await asyncio.to_thread(sqlite.probe, self.file, self._patiences[Patience.SHORT])
                return
            async with self.lanes[Lane.WRITES].connection() as connection:
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

    async def keep(self) -> None:
        """Open the connections that a gateway must not lack later, those of the writers first. A server that has no
        room for all of them is none that a gateway could not start on."""
        try:
            for lane, shape in SHAPES.items():
                if shape.is_kept and not self.is_sqlite:
                    await self.lanes[lane].keep()
        except (SQLAlchemyError, OSError) as error:
            message = f"fewer connections to the store than store.connections: {in_our_words(error)}"
            _log.warning(message, extra={"action": "store_connections_few"})

    async def _upgrade(self) -> None:
        if await self._is_current():
            return  # nobody has to be waited for
        async with self.migrating() as connection:
            if not self.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migrations")})
            if await self.revision(connection) not in (None, migration.head()) and not self.is_sqlite:
                # whoever writes has read the revision: they end first, and others read the new one
                await connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
            await connection.run_sync(migration.upgrade)

    async def _is_current(self) -> bool:
        """Whether the tables are of this version; not while somebody who upgrades them lets nobody read that. Whoever
        migrates, too, waits for the end of it, and then finds out."""
        try:
            async with self.read() as connection:
                return await self.revision(connection) == migration.head()
        except DBAPIError as error:
            if not postgres.is_locked(error):
                raise
        message = f"store {self} is being upgraded: the start waits for the end of that"
        _log.warning(message, extra={"action": "upgrade_waits"})
        return False

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
        parameters = {} if self.is_sqlite else {"key": marker(self.leases.own.id)}
        found = (await connection.execute(_REVISION[connection.dialect.name], parameters)).scalar()
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
            async with self.lanes[Lane.WRITES].connection() as connection, connection.begin():
                yield connection
            return
        engine = self.postgres.engine(PATIENCE, statements=None, limits=MIGRATING, poolclass=NullPool)
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
        except (SQLAlchemyError, OSError) as error:
            return [f"the store does not answer: {in_our_words(error)}"]
        if found != migration.head():
            return [f"the store is {_too_old(found)}"]
        await self._try_to_write()
        problem = self.write_health.problem()
        return [problem] if problem else []

    async def _try_to_write(self) -> None:
        """Where the last write failed: make one now that changes nothing, since nothing else may be due for long. All
        who ask meanwhile wait for the same one."""
        if not self.write_health.has_failed:
            return
        if self._trial is None or self._trial.done():
            self._trial = asyncio.create_task(self._write_nothing(), name="trial write")
        await asyncio.wait({self._trial}, timeout=_TRIAL_WITHIN)

    async def _write_nothing(self) -> None:
        with suppress(SQLAlchemyError, OSError, StoreError):  # remembered by whoever watches over all writes
            async with self.write(hurried=True) as connection:
                for statement in _NOTHING:
                    await connection.execute(text(statement))

    @asynccontextmanager
    async def read(self, lane: Lane = Lane.HOUSE, *, patience: float = math.inf) -> AsyncIterator[AsyncConnection]:
        """A connection of ``lane`` within one read-only snapshot.

        Raises NoConnection where none is free within ``patience`` seconds, or within those of the lane.
        """
        async with self.lanes[lane].connection(patience) as connection:
            if self.wal is None:
                yield connection
            else:
                async with self.wal.reader():
                    yield connection

    async def interrupt(self, connection: AsyncConnection) -> None:
        """End the statement under way on ``connection``, if there is one; it fails. What is begun there once this has
        returned is not concerned."""
        if not connection.invalidated:
            driver = (await connection.get_raw_connection()).driver_connection
            await (sqlite if self.is_sqlite else postgres).interrupt(driver)

    @asynccontextmanager
    async def write(self, *, hurried: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection within one transaction: committed at the end, rolled back on any exception.

        ``hurried``: somebody waits for the answer and would rather hear that it failed than wait longer.
        """
        lane = self.lanes[Lane.HURRIED if hurried else Lane.WRITES]
        with self.write_health.attempt() as attempt:
            async with lane.connection() as connection:
                with attempt.on(connection):
                    async with connection.begin():
                        await self.check_revision(connection)
                        yield connection

    async def checkpoint(self) -> None:
        """SQLite: carry the write-ahead log over into the file now, beside whoever writes, lest a commit has to do it
        while others wait. PostgreSQL does so by itself."""
        if self.is_sqlite:
            await asyncio.to_thread(sqlite.checkpoint, self.file)

    async def close(self) -> None:
        """Give back what is held: the leases, then the connections."""
        await self.leases.close()
        if self._trial is not None:
            await asyncio.wait({self._trial}, timeout=_TRIAL_WITHIN)
        for lane in self.lanes.values():
            await lane.close()

    def _sqlite_engine(self, place: URL, shape: Shape, size: int) -> AsyncEngine:
        begin = "BEGIN IMMEDIATE" if shape.writes else "BEGIN"
        return sqlite.open_engine(
            place, begin=begin, size=size, patience=min(PATIENCE, self._patiences[shape.patience])
        )

    def _postgres_engine(self, postgres: Postgres, shape: Shape, size: int) -> AsyncEngine:
        patience = min(PATIENCE, self._patiences[shape.patience])
        pool: dict[str, Any] = {"pool_size": size, "max_overflow": 0, "pool_pre_ping": True}
        if shape.writes:
            limits = replace(WRITING, locks=_LOCKS * patience)
            return postgres.engine(patience, statements=patience, limits=limits, **pool)
        pool["isolation_level"] = "REPEATABLE READ"
        return postgres.engine(patience, statements=PATIENCE, limits=READING, **pool)


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
