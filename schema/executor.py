"""How operations are executed: within the limits of their context, by values and by time."""

import asyncio
from collections.abc import Awaitable
from inspect import iscoroutinefunction
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLOutputType,
    OperationType,
    located_error,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from connectory.limits import LOOK_UP
from resolvers.budget import is_too_much

TIMEOUT = "OPERATION_TIMEOUT"


class BoundedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Spends the budget object by object. What exceeds it ends the whole operation, with one error and no data: where
    one field is too much, thousands of its kind would be."""

    def execute_operation(self, serially: bool | None = None) -> Any:
        self._costs: dict[int, tuple[Any, int]] = {}
        self._refusal: GraphQLError | None = None
        result = super().execute_operation(serially)
        if self.operation.operation is OperationType.MUTATION or not self.is_awaitable(result):
            return result
        return self._in_time(result)

    async def _in_time(self, result: Awaitable[Any]) -> Any:
        seconds = self.context_value.budget.limits.seconds
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await result
        except TimeoutError:
            if not deadline.expired():
                raise
            said = f"The operation has taken longer than {seconds:g} s; ask for less at once."
            return ExecutionResult(None, [GraphQLError(said, self.operation, extensions={"code": TIMEOUT})])

    def _cost(self, type_: GraphQLObjectType, selected: Any) -> int:
        """Of an object's fields. The objects of a list share what is selected, so it is remembered."""
        known = self._costs.get(id(selected))
        if known is None:
            fields = (self.schema.get_field(type_, field[0].node.name.value) for field in selected.values())
            cost = sum(LOOK_UP if field and iscoroutinefunction(field.resolve) else 1 for field in fields)
            known = self._costs[id(selected)] = selected, cost  # kept, so that no other gets its id
        return known[1]

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        self.context_value.budget.spend(self._cost(parent_type, grouped_field_set))
        return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)

    def execute_fields_serially(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: Any,
        position_context: Any,
    ) -> Any:
        """The root of a mutation, its fragments spread and what is skipped left out."""
        names = [details[0].node.name.value for details in grouped_field_set.values()]
        self.context_value.budget.check_actions(sum(not name.startswith("__") for name in names))
        return super().execute_fields_serially(parent_type, source_value, path, grouped_field_set, position_context)

    def handle_field_error(
        self, raw_error: Exception, return_type: GraphQLOutputType, field_details_list: Any, path: Path
    ) -> None:
        if is_too_much(raw_error):
            if self._refusal is None:
                self._refusal = located_error(raw_error, [each.node for each in field_details_list], path.as_list())
            raise self._refusal.with_traceback(None)  # one for all: there may be thousands who fail
        super().handle_field_error(raw_error, return_type, field_details_list, path)
