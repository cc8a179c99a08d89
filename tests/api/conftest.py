"""A world for many tests to ask about, one on each kind of store, and askers for it and for an empty store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from connectory.store import Store
from tests.api.world import Asker, World, build
from tests.stores import postgres_database


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
    with postgres_database() as url:
        world = asyncio.run(_built(url))
        world.url = url
        yield world


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
