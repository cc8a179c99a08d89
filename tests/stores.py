"""A store for a test: ``store`` runs it on SQLite and on PostgreSQL, ``sqlite_store`` on SQLite alone."""

import os
from collections.abc import AsyncIterator
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


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """A database of its own, gone afterwards."""
    name = f"connectory_{uuid4().hex[:12]}"
    try:
        await _admin(f'CREATE DATABASE "{name}"')
    except (OSError, asyncpg.PostgresError) as error:
        missing("PostgreSQL", f"set CONNECTORY_TEST_POSTGRES to a server that lets us create databases ({error})")
    yield _ADMIN.rsplit("/", 1)[0] + f"/{name}"
    await _admin(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'connectory.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Both kinds of store, one after the other."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An empty store at this version."""
    opened = Store(store_url)
    await opened.open()
    await opened.upgrade()
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = Store(sqlite_url)
    await opened.open()
    await opened.upgrade()
    yield opened
    await opened.close()
