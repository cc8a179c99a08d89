"""A store for a test: ``store`` runs it on SQLite and on PostgreSQL, ``sqlite_store`` on SQLite alone.

A test has a file of its own on SQLite; on PostgreSQL it has the database of its worker, which is emptied after it, as
making and dropping one takes a second.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Connection, Engine, event, make_url

from connectory.store import Store, upgrade
from tests.missing import missing
from tests.wait import until


class _Compiled(dict[Any, Any]):
    """Statements that were compiled for one engine and serve all others of its kind in this process: each test has
    engines of its own, and would spend a fifth of its time on compiling anew."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__((type(key[0]), *key[1:]))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), value)

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)


_COMPILED = _Compiled()


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)


_ADMIN = os.environ.get("CONNECTORY_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
#: Ends whatever a test has left open; the locks and channels of a connection go with it.
_END_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
#: The tables that hold something, or have.
_USED = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
  AND pg_relation_size(oid) > 0
"""
#: The tables as they are, their columns and their revision.
_SHAPE = """
SELECT md5(string_agg(concat(relname, ' ', attname, ' ', atttypid), ',' ORDER BY relname, attnum))
       || (SELECT string_agg(version_num, ',') FROM alembic_version)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
"""
_BARE = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"


async def _administer(*statements: str) -> None:
    connection = await asyncpg.connect(_ADMIN, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def _alone(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to a database to which no other one is left."""
    connection = await asyncpg.connect(url, timeout=10)
    try:

        async def nobody_else() -> bool:
            return not await connection.fetchval(_END_OTHERS)

        await until(nobody_else, every=0.005)
        yield connection
    finally:
        await connection.close()


def _made(name: str) -> tuple[str, ...]:
    """What a power cut does is not tested, so nobody waits for the disk."""
    return f'CREATE DATABASE "{name}"', f'ALTER DATABASE "{name}" SET synchronous_commit = off'


@contextmanager
def postgres_database() -> Iterator[str]:
    """A database without tables for as long as the block runs; skips the test where there is no PostgreSQL."""
    name = f"connectory_{uuid4().hex[:12]}"
    try:
        asyncio.run(_administer(*_made(name)))
    except (OSError, asyncpg.PostgresError) as error:
        missing("PostgreSQL", f"set CONNECTORY_TEST_POSTGRES to a server that lets us create databases ({error})")
    try:
        yield _ADMIN.rsplit("/", 1)[0] + f"/{name}"
    finally:
        asyncio.run(_administer(f'DROP DATABASE "{name}" WITH (FORCE)'))


@asynccontextmanager
async def few_connections(url: str, most: int) -> AsyncIterator[str]:
    """The database for somebody whom the server grants so many connections."""
    name, place = f"few_{uuid4().hex[:8]}", make_url(url)
    admin = await asyncpg.connect(url, timeout=10)
    try:
        await admin.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {most} PASSWORD '{place.password or name}'")
        await admin.execute(f'GRANT "{place.username}" TO {name}')
        yield place.set(username=name).render_as_string(hide_password=False)
        await admin.execute(f"DROP ROLE {name}")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "connectory.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    assert [found.name for found in path.parent.iterdir() if found.name.endswith(("-wal", "-journal"))] == []
    return path


class Emptied:
    """A database with the tables of this version that can be made as new."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._shape = ""
        #: statements that write what the migrations have written
        self._first_rows: list[str] = []

    async def make(self) -> None:
        await upgrade(self.url)
        async with _alone(self.url) as connection:
            self._shape = await connection.fetchval(_SHAPE)
            for (name,) in await connection.fetch(_USED):
                found = await connection.fetchval(f"SELECT json_agg(t) FROM {name} t")
                self._first_rows.append(
                    f"INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, '{found}')"
                )

    async def empty(self) -> None:
        """Take out what a test has written; a test may have changed the tables themselves, too."""
        async with _alone(self.url) as connection:
            if as_made := await connection.fetchval(_SHAPE) == self._shape:
                used = [name for (name,) in await connection.fetch(_USED)]
                if used:
                    await connection.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE")
                for statement in self._first_rows:
                    await connection.execute(statement)
            else:
                await connection.execute(_BARE)
        if not as_made:
            await upgrade(self.url)


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Emptied]:
    with postgres_database() as url:
        emptied = Emptied(url)
        asyncio.run(emptied.make())
        yield emptied


@pytest.fixture
async def postgres_url(_postgres: Emptied) -> AsyncIterator[str]:
    """A database with the tables of this version, emptied afterwards."""
    yield _postgres.url
    await _postgres.empty()


@pytest.fixture(scope="session")
def _bare_postgres() -> Iterator[str]:
    with postgres_database() as url:
        yield url


@pytest.fixture
async def bare_postgres_url(_bare_postgres: str) -> AsyncIterator[str]:
    yield _bare_postgres
    async with _alone(_bare_postgres) as connection:
        await connection.execute(_BARE)


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """A file of its own with the tables of this version."""
    return f"sqlite:///{shutil.copy(_sqlite_template, tmp_path / 'connectory.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Both kinds of store, one after the other."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Awaitable[str]]:
    """An empty store at this version each time that it is called; the one before is no longer needed."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_sqlite_template")

        async def copied() -> str:
            folder = tempfile.mkdtemp(dir=tmp_path)
            return f"sqlite:///{shutil.copy(template, folder)}"

        return copied
    request.getfixturevalue("postgres_url")
    emptied: Emptied = request.getfixturevalue("_postgres")

    async def empty() -> str:
        await emptied.empty()
        return emptied.url

    return empty


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of store, without a table."""
    url: str = f"sqlite:///{tmp_path / 'bare.db'}"
    return url if request.param == "sqlite" else request.getfixturevalue("bare_postgres_url")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An empty store at this version."""
    opened = Store(store_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store(sqlite_url)
    await opened.open()
    yield opened
    await opened.close()
