"""Queries and mutations: one execution each, in a context of its own, whichever way they arrived."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import OperationType
from strawberry import Schema
from strawberry.types import ExecutionResult

from connectory import masking
from connectory.metrics import Outcome
from connectory.prepared import Prepared
from resolvers.context import Context, Viewer
from schema.executor import TIMEOUT


@dataclass(frozen=True, slots=True)
class Executed:
    """What became of an operation. ``body`` has ``data`` only when something ``was_executed``."""

    body: dict[str, Any]
    was_executed: bool
    outcome: Outcome


class Execution:
    """Executes operations of one schema; ``open_context`` makes what the resolvers of one viewer's operation share."""

    def __init__(self, schema: Schema, open_context: Callable[[Viewer], Context]) -> None:
        self.schema = schema
        self._open_context = open_context

    async def run(self, prepared: Prepared, viewer: Viewer) -> Executed:
        operation = prepared.operation
        context = self._open_context(viewer)
        try:
            result = await self.schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                operation_extensions=operation.extensions,
            )
        finally:
            await context.close()
        return _told(result, prepared.type)


def _told(result: ExecutionResult, type: OperationType) -> Executed:
    errors = masking.present(result)
    codes = masking.codes(errors)
    is_internal, is_late = masking.INTERNAL in codes, TIMEOUT in codes
    was_executed = is_late or result.data is not None or any("path" in error for error in errors)
    if codes == {masking.STORE_UNAVAILABLE} and type is OperationType.QUERY and not any((result.data or {}).values()):
        was_executed = False  # a mutation may have done something all the same
    body: dict[str, Any] = {"errors": errors} if errors else {}
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    if is_internal:
        return Executed(body, was_executed, Outcome.INTERNAL)
    if masking.STORE_UNAVAILABLE in codes:
        return Executed(body, was_executed, Outcome.UNAVAILABLE)
    if not was_executed:
        return Executed(body, was_executed, Outcome.REJECTED)
    return Executed(body, was_executed, Outcome.PARTIAL if errors else Outcome.OK)
