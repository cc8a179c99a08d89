"""Queries and mutations: one execution each, in a context of its own, whichever way they arrived."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
        return _told(result)


def _told(result: ExecutionResult) -> Executed:
    errors = masking.present(result)
    is_internal = masking.INTERNAL in masking.codes(errors)
    is_late = TIMEOUT in masking.codes(errors)
    was_executed = is_late or result.data is not None or any("path" in error for error in errors)
    body: dict[str, Any] = {"errors": errors} if errors else {}
    if was_executed:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    if is_internal:
        return Executed(body, was_executed, Outcome.INTERNAL)
    if not was_executed:
        return Executed(body, was_executed, Outcome.REJECTED)
    return Executed(body, was_executed, Outcome.PARTIAL if errors else Outcome.OK)
