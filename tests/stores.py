"""A store for a test: ``store`` runs it on SQLite and on PostgreSQL, ``sqlite_store`` on SQLite alone."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from connectory.store import Store
from tests.missing import missing

_ADMIN = os.environ.get("CONNECTORY_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


async def _admin(statement: str) -> None:
    connection = await asyncpg.connect(_ADMIN, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _upgraded(url: str) -> None:
    store = Store(url)
    await store.open()
    await store.upgrade()
    await store.close()


def _beside(name: str) -> str:
    """The URL of another database of the same server."""
    return _ADMIN.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "connectory.db"
    asyncio.run(_upgraded(f"sqlite:///{path}"))
    assert [found.name for found in path.parent.iterdir() if found.name.endswith(("-wal", "-journal"))] == []
    return path


@pytest.fixture(scope="session")
def _postgres_template() -> Iterator[str]:
    name = f"connectory_{uuid4().hex[:12]}"
    try:
        asyncio.run(_admin(f'CREATE DATABASE "{name}"'))
    except (OSError, asyncpg.PostgresError) as error:
        missing("PostgreSQL", f"set CONNECTORY_TEST_POSTGRES to a server that lets us create databases ({error})")
    asyncio.run(_upgraded(_beside(name)))
    yield name
    asyncio.run(_admin(f'DROP DATABASE "{name}" WITH (FORCE)'))


@asynccontextmanager
async def _database(template: str) -> AsyncIterator[str]:
    name = f"connectory_{uuid4().hex[:12]}"
    await _admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield _beside(name)
    await _admin(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def postgres_url(_postgres_template: str) -> AsyncIterator[str]:
    """A database of its own with the tables of this version, gone afterwards."""
    async with _database(_postgres_template) as url:
        yield url


@pytest.fixture
async def _bare_postgres_url(_postgres_template: str) -> AsyncIterator[str]:
    async with _database("template1") as url:
        yield url


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
def bare_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of store, without a table."""
    url: str = f"sqlite:///{tmp_path / 'bare.db'}"
    return url if request.param == "sqlite" else request.getfixturevalue("_bare_postgres_url")


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
