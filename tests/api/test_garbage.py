"""What an operation took is free as soon as it is over: nothing of it waits for the collector, which comes rarely."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.api.world import Asker

_QUERY = """{
  systems { name totalConnectors }
  connectors(first: 5) {
    totalCount nodes { name conditions { code } latestJob { id } jobs(first: 2) { nodes { id } } }
  }
}"""
_OPERATIONS = {
    "that waits": _QUERY,
    "that waits for nothing": "{ viewer { name } }",
    "that fails": '{ connector(id: "no id") { name } }',
}


@contextmanager
def garbage() -> Iterator[list[str]]:
    """What only the collector would free, by type, of what was made within the block."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.extend(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("which", _OPERATIONS)
async def test_nothing_is_left_for_the_collector(ask: Asker, which: str) -> None:
    await ask.try_(_OPERATIONS[which])  # what it makes once for all stays
    with garbage() as found:
        for _ in range(3):
            await ask.try_(_OPERATIONS[which])
    ours = ("connectory.", "resolvers.", "schema.", "graphql.", "strawberry.", "aiodataloader", "_asyncio.")
    assert [name for name in found if name.startswith(ours)] == []
