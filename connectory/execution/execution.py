"""Queries and mutations: one execution each, in a context of its own, whichever way they arrived."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import FormattedExecutionResult, OperationType
from strawberry import Schema
from strawberry.types import ExecutionResult

from connectory.execution import error_presentation
from connectory.execution.executor import OUTCOME_UNKNOWN, TIMEOUT
from connectory.execution.prepared import Prepared
from connectory.observability.metrics import OperationOutcome
from resolvers.context import Context, Viewer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of an operation. ``body`` has ``data`` only when something ``was_executed``."""

    body: FormattedExecutionResult
    was_executed: bool
    outcome: OperationOutcome


class Execution:
    """Executes operations of one schema; ``open_context`` makes what the resolvers of one viewer's operation share."""

    def __init__(self, schema: Schema, open_context: Callable[[Viewer], Context]) -> None:
        self.schema = schema
        self._open_context = open_context
        #: what goes on whether or not somebody waits for it
        self._mutations: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.Task[Any]] = set()

    async def run(self, prepared: Prepared, viewer: Viewer) -> Executed:
        """One that reads ends with whoever waits for it; a mutation that has begun does not."""
        running = self._run(prepared, viewer)
        if prepared.type is OperationType.MUTATION:
            return await asyncio.shield(_keep(running, self._mutations))
        return await running

    async def _run(self, prepared: Prepared, viewer: Viewer) -> Executed:
        operation, context = prepared.operation, self._open_context(viewer)
        try:
            result = await self.schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                operation_extensions=operation.extensions,
            )
        finally:
            prepared.document.values = context.budget.spent
            # no answer waits until a store that does not answer has taken its connection back
            _keep(_close(context), self._closing)
        return _executed(result, prepared.type)

    async def close(self) -> None:
        """End the mutations that still run, and return once everything is given back: the store may be closed then."""
        for task in self._mutations:
            task.cancel()
        while running := self._mutations | self._closing:
            await asyncio.wait(running)


async def _close(context: Context) -> None:
    try:
        await context.close()
    except Exception as error:  # its answer is given already
        error_presentation.internal(error, path="the end of an operation")


def _keep(work: Coroutine[Any, Any, T], among: set[asyncio.Task[Any]]) -> asyncio.Task[T]:
    task = asyncio.create_task(work, name="operation")
    among.add(task)
    task.add_done_callback(among.discard)
    return task


def _executed(result: ExecutionResult, type: OperationType) -> Executed:
    errors = error_presentation.present(result)
    codes = error_presentation.codes(errors)
    is_late = TIMEOUT in codes or OUTCOME_UNKNOWN in codes
    was_executed = is_late or result.data is not None or any("path" in error for error in errors)
    if (
        codes == {error_presentation.STORE_UNAVAILABLE}
        and type is OperationType.QUERY
        and not any((result.data or {}).values())
    ):
        was_executed = False  # a mutation may have done something all the same
    body: FormattedExecutionResult = {"errors": errors} if errors else {}
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    if error_presentation.INTERNAL in codes:
        return Executed(body, was_executed, OperationOutcome.INTERNAL)
    if error_presentation.STORE_UNAVAILABLE in codes:
        return Executed(body, was_executed, OperationOutcome.UNAVAILABLE)
    if not was_executed:
        return Executed(body, was_executed, OperationOutcome.REJECTED)
    return Executed(body, was_executed, OperationOutcome.PARTIAL if errors else OperationOutcome.OK)
