"""A world for many tests to ask about, one on each kind of store, and askers for it and for an empty store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from connectory.store import Store
from tests import stores
from tests.api.world import Asker, World, build
from tests.missing import missing


async def _built(url: str) -> World:
    store = Store(url)
    await store.open()
    await store.upgrade()
    try:
        return await build(store)
    finally:
        await store.close()


@pytest.fixture(scope="session")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder: Path = tmp_path_factory.mktemp("world")
    world = asyncio.run(_built(f"sqlite:///{folder / 'connectory.db'}"))
    world.url = f"sqlite:///{folder / 'connectory.db'}"
    return world


@pytest.fixture(scope="session")
def postgres_world() -> Iterator[World]:
    name = f"connectory_{uuid4().hex[:12]}"
    try:
        asyncio.run(stores._admin(f'CREATE DATABASE "{name}"'))
    except (OSError, asyncpg.PostgresError) as error:
        missing("PostgreSQL", f"set CONNECTORY_TEST_POSTGRES to a server that lets us create databases ({error})")
    url = stores._ADMIN.rsplit("/", 1)[0] + f"/{name}"
    world = asyncio.run(_built(url))
    world.url = url
    yield world
    asyncio.run(stores._admin(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    """Both kinds of store, one after the other. Nobody writes to it."""
    found: World = request.getfixturevalue("sqlite_world" if request.param == "sqlite" else "postgres_world")
    return found


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asker]:
    """Asks the world."""
    store = Store(world.url)
    yield Asker(store)
    await store.close()
