"""A schema that stands in for ours where a test needs a resolver that misbehaves or never ends."""

import asyncio
import json
from collections.abc import AsyncIterator

import strawberry
from graphql import GraphQLError

from connectory.execution.executor import BoundedExecutor
from resolvers.arguments import BadUserInput
from tests.wait import until


class Patience:
    """An operation that ends when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.has_ended = asyncio.Event()
        self.was_cancelled = asyncio.Event()

    async def wait(self) -> None:
        try:
            await self.may_end.wait()
            self.has_ended.set()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise


#: Those that began since the test did; a fixture clears it.
PATIENT: list[Patience] = []
MUTATIONS: list[Patience] = []


async def begun(count: int) -> None:
    """Return once so many patient operations run."""

    async def look() -> bool:
        return len(PATIENT) == count

    await until(look)


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "world"

    @strawberry.field
    def echo(self, number: int) -> int:
        return number

    @strawberry.field
    def sent_along(self, info: strawberry.Info) -> str:
        return json.dumps(info.input_extensions)

    @strawberry.field
    def unexpected(self) -> str | None:
        raise RuntimeError("the password is swordfish")

    @strawberry.field
    def must_not_be_null(self) -> str:
        return None  # type: ignore[return-value]

    @strawberry.field
    def refused(self) -> str | None:
        raise BadUserInput("first: between 1 and 1,000")

    @strawberry.field
    def on_purpose(self) -> str | None:
        raise GraphQLError("Not today.", extensions={"code": "CLOSED", "until": "tomorrow"})

    @strawberry.field
    async def slow(self) -> str | None:
        patience = Patience()
        PATIENT.append(patience)
        await patience.wait()
        return None


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self) -> bool:
        return True

    @strawberry.mutation
    async def wait(self) -> bool:
        mutation = Patience()
        MUTATIONS.append(mutation)
        await mutation.wait()
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


STAND_IN = strawberry.Schema(Query, Mutation, Subscription, execution_context_class=BoundedExecutor)
