"""How operations are executed: within the limits of their context, by values and by time."""

import asyncio
from collections.abc import Awaitable
from inspect import CORO_CREATED, getcoroutinestate, iscoroutinefunction
from types import CoroutineType
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
from connectory.store.transactions import shielded
from resolvers.budget import is_too_much

#: Codes of operations that have taken too long: a mutation may still be under way.
TIMEOUT, OUTCOME_UNKNOWN = "OPERATION_TIMEOUT", "OUTCOME_UNKNOWN"
#: What most fields give, and nobody can await.
_PLAIN = frozenset((type(None), bool, int, float, str, list, dict, tuple))


class BoundedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Spends the budget object by object. What exceeds it ends the whole operation, with one error and no data: where
    one field is too much, thousands of its kind would be."""

    def execute_operation(self, serially: bool | None = None) -> Any:
        self._costs: dict[int, tuple[Any, int]] = {}
        self._refusal: GraphQLError | None = None
        self._note_coroutines()
        result = super().execute_operation(serially)
        if self.is_awaitable(result) or self.background_futures:
            return self._to_its_end(result)
        self._forget_coroutines()
        return result

    async def _to_its_end(self, result: Any) -> Any:
        try:
            return await self._in_time(result) if self.is_awaitable(result) else result
        finally:
            await self._leave_nothing()

    async def _in_time(self, result: Awaitable[Any]) -> Any:
        limits, is_mutation = self.context_value.budget.limits, self.operation.operation is OperationType.MUTATION
        seconds = limits.mutation_seconds if is_mutation else limits.seconds
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await result
        except TimeoutError:
            if not deadline.expired():
                raise
            return ExecutionResult(None, [self._too_late(seconds, is_mutation)])

    def _too_late(self, seconds: float, is_mutation: bool) -> GraphQLError:
        advice = "whether it does what it was to do is not known yet" if is_mutation else "ask for less at once"
        message = f"The operation has taken longer than {seconds:g} s; {advice}."
        code = OUTCOME_UNKNOWN if is_mutation else TIMEOUT
        return GraphQLError(message, self.operation, extensions={"code": code})

    # ---- what an operation that ends early leaves behind

    def _note_coroutines(self) -> None:
        """Remember the coroutines that are made: an operation that ends early leaves some that never began, and Python
        warns of each. graphql-core asks of whatever it is given whether that can be awaited."""
        self._coroutines: list[CoroutineType[Any, Any, Any]] = []
        is_awaitable, note = self.is_awaitable, self._coroutines.append

        def noting(value: Any) -> bool:
            kind = type(value)
            if kind is CoroutineType:
                note(value)
                return True
            return kind not in _PLAIN and is_awaitable(value)

        self.is_awaitable = noting  # type: ignore[assignment]

    def complete_list_item_value(self, item: Any, complete_results: list[Any], *rest: Any) -> bool:
        is_awaitable = super().complete_list_item_value(item, complete_results, *rest)
        if is_awaitable:
            self._coroutines.append(complete_results[-1])  # the one kind that nobody asks of
        return is_awaitable

    async def _leave_nothing(self) -> None:
        try:
            if self.background_futures:
                for future in self.background_futures:
                    future.cancel()
                await shielded(asyncio.wait(set(self.background_futures)))  # who is given up here leaves as little
        finally:
            for coroutine in self._coroutines:
                if getcoroutinestate(coroutine) == CORO_CREATED:
                    coroutine.close()
            self._forget_coroutines()

    def _forget_coroutines(self) -> None:
        """What knew them knew us: what the operation took is free once it is over, and not when the collector comes."""
        self._coroutines.clear()
        del self.is_awaitable, self.async_helpers

    # ---- the budget

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
