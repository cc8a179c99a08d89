"""From a record to the bytes that clients get: one execution of the subscription's selection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, Executor, FormattedExecutionResult, GraphQLError, create_source_event_stream
from strawberry import Schema

from connectory.execution import error_presentation
from connectory.execution.answer import encode
from connectory.execution.executor import BoundedExecutor
from connectory.execution.prepared import Prepared, Refused
from connectory.live.shared_snapshots import SharedSnapshots
from connectory.store.error_texts import may_recover
from connectory.store.reads.snapshot import Snapshot
from resolvers.context import Context, Loaders, Viewer
from resolvers.feeds import Feed

#: Gives the snapshot that a context reads, and its loaders.
Take = Callable[[], AbstractAsyncContextManager[tuple[Snapshot, Loaders]]]
#: Executions that run beside each other: what they want of their common snapshot at once is one statement.
_AT_ONCE = 200
#: Characters of a subscription's document, and of its variables as JSON; a filter of a thousand ids fits.
_LONGEST_DOCUMENT = 20_000
_LONGEST_VARIABLES = 256 * 1024


class StoreAway(Exception):
    """The store does not answer now."""


class SharedRendering:
    """What all renderings of one process share."""

    def __init__(
        self,
        schema: Schema,
        open_context: Callable[[Viewer], Context],
        snapshots: SharedSnapshots,
        replays: SharedSnapshots,
    ) -> None:
        self.schema = schema
        self.open_context = open_context
        self.snapshots = snapshots
        self.replays = replays
        self.turn = asyncio.Semaphore(_AT_ONCE)


class Rendering:
    """One distinct subscription, ready to be executed for each of its records."""

    def __init__(self, shared: SharedRendering, executor: Executor[Any], feed: Feed, viewer: Viewer) -> None:
        self.feed = feed
        self.viewer = viewer
        self._shared = shared
        self._executor = executor

    @property
    def snapshot_number(self) -> int:
        """Another one once the log has grown."""
        return self._shared.snapshots.number

    @asynccontextmanager
    async def present(self) -> AsyncIterator[Take]:
        """The present snapshot that all renderings share, for several results. Who holds it asks for no other one:
        there are few, and who holds one while it waits for the next waits for ever where all do."""
        async with self._shared.snapshots.present() as lent:
            yield lambda: nullcontext(lent)

    @asynccontextmanager
    async def past(self, least: int) -> AsyncIterator[Context]:
        """A context of its own, over the snapshot that is shared by who reads again what has been; it has come to this
        position of the log, if the log has."""
        async with self.context(partial(self._shared.replays.present, least)) as context:
            yield context

    @asynccontextmanager
    async def context(self, take: Take | None = None) -> AsyncIterator[Context]:
        """A context of its own, over the snapshot that ``take`` gives, else over the present one."""
        shared = self._shared
        context = shared.open_context(self.viewer).over(take or shared.snapshots.present)
        try:
            yield context
        finally:
            await context.close()

    async def body(self, record: Any, take: Take | None = None) -> bytes:
        """The JSON text of the execution result; an unexpected failure is told as an error within it. ``take`` is as of
        ``context``.

        Raises StoreAway when the store could not show what is selected: it may once it answers again.
        """
        executor = self._executor.build_per_event_executor(record)
        # graphql-core's memo of subfields is shared by all events, and would keep some kilobytes of each for ever
        executor._relevant_sub_fields = {}
        try:
            async with self._shared.turn, self.context(take) as context:
                executor.context_value = context
                result: Any = executor.execute_operation(False)
                if isawaitable(result):
                    result = await result
            for error in result.errors or ():
                cause = error_presentation.unexpected(error)
                if cause is not None and may_recover(cause):
                    raise StoreAway(str(cause))
            return encode(_body(result))
        except StoreAway:
            raise
        except Exception as error:
            if may_recover(error):
                raise StoreAway(str(error)) from error
            return encode({"errors": [error_presentation.failure(error, path="subscription")]})


def taken_variables(prepared: Prepared) -> dict[str, Any]:
    """Those that the operation declares. Raises Refused when they, or the document, are too long to be kept."""
    if len(prepared.operation.query) > _LONGEST_DOCUMENT:
        raise _too_long(f"The document of a subscription may have at most {_LONGEST_DOCUMENT:,} characters.")
    given = prepared.operation.variables or {}
    taken = {name: value for name, value in given.items() if name in prepared.variables}
    if len(json.dumps(taken)) > _LONGEST_VARIABLES:
        raise _too_long(f"The variables of a subscription may have at most {_LONGEST_VARIABLES:,} characters of JSON.")
    return taken


def _too_long(message: str) -> Refused:
    return Refused(
        [GraphQLError(message, extensions={"code": error_presentation.BAD_USER_INPUT})], before_execution=False
    )


async def render_with(shared: SharedRendering, prepared: Prepared, viewer: Viewer) -> Rendering:
    """Call the subscription's resolver for ``viewer`` and keep what it gives. Raises Refused."""
    built = BoundedExecutor.build(
        shared.schema._schema,
        prepared.node,
        raw_variable_values=taken_variables(prepared),
        operation_name=prepared.operation.name,
    )
    if not isinstance(built, Executor):
        raise Refused(built, before_execution=False)
    context = shared.open_context(viewer)
    try:
        built.context_value = context
        feed = create_source_event_stream(built)
        if isawaitable(feed):
            feed = await feed
    finally:
        await context.close()
        built.context_value = None
    if isinstance(feed, ExecutionResult):
        raise Refused(feed.errors or [GraphQLError("There is no such subscription.")], before_execution=False)
    assert isinstance(feed, Feed)
    return Rendering(shared, built, feed, viewer)


def _body(result: Any) -> FormattedExecutionResult:
    body: FormattedExecutionResult = {"data": result.data}
    if result.errors:
        body["errors"] = error_presentation.present(result)
    return body
