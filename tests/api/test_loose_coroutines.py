"""An operation that ends early leaves no coroutine that never began: Python would warn of each."""

import asyncio
import contextlib
import gc
import warnings
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType

import pytest
import strawberry

from connectory.execution.executor import BoundedExecutor
from connectory.limits import OperationLimits
from connectory.store import Store
from resolvers.arguments import BadUserInput
from tests.api.world import open_context


@strawberry.type
class Thing:
    @strawberry.field
    async def next(self) -> "Thing":
        await asyncio.sleep(0)
        return Thing()

    @strawberry.field
    async def many(self) -> list["Thing"]:
        await asyncio.sleep(0)
        return [Thing(), Thing()]

    @strawberry.field
    async def name(self) -> str:
        return "it"

    @strawberry.field
    async def refused(self) -> str:
        raise BadUserInput("no")


@strawberry.type
class Query:
    @strawberry.field
    async def thing(self) -> Thing:
        return Thing()

    @strawberry.field
    def refused(self) -> str:
        raise BadUserInput("no")


SCHEMA = strawberry.Schema(Query, execution_context_class=BoundedExecutor)
MANY = "many { name next { name many { name next { name } } } }"


@pytest.mark.parametrize(
    "query",
    [
        f"{{ a: thing {{ {MANY} }} b: thing {{ name {MANY} }} }}",
        f"{{ a: thing {{ {MANY} next {{ next {{ refused }} }} }} b: thing {{ {MANY} }} }}",
        f"{{ a: thing {{ {MANY} }} refused b: thing {{ {MANY} }} }}",
    ],
)
async def test_nothing_is_left_however_it_ends(sqlite_store: Store, query: str) -> None:
    """Given up after every number of turns of the loop; with fields that fail; as too much after every number of
    values."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for turns in range(40):
            asking = asyncio.ensure_future(SCHEMA.execute(query, context_value=open_context(sqlite_store)))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        for values in range(0, 400, 10):
            await SCHEMA.execute(query, context_value=open_context(sqlite_store, limits=OperationLimits(values)))
        gc.collect()
        coroutines = [each for each in gc.get_objects() if isinstance(each, CoroutineType)]
        assert [each for each in coroutines if getcoroutinestate(each) == CORO_CREATED] == []
    assert [str(warning.message) for warning in found] == []
