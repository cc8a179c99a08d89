"""What arguments have to keep to, and what a client is told whose question cannot be answered as asked."""

from collections.abc import Hashable, Sequence
from typing import Any

from graphql import GraphQLError

#: The most rows of a page, and the most values of a list within a filter; both stores take that many.
MAXIMUM_SIZE = 1000


class BadUserInput(GraphQLError):
    """The arguments do not make sense; the message says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "BAD_USER_INPUT"})


class NotFound(GraphQLError):
    """There is nothing of that id, and an answer without it would be none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "NOT_FOUND"})


def check_filter(filter: Any) -> None:
    """Raises BadUserInput for a list of more than MAXIMUM_SIZE values."""
    for name, value in vars(filter).items() if filter is not None else ():
        if isinstance(value, list):
            check_list(_graphql_name(name), value)


def check_list(name: str, values: Sequence[Hashable] | None) -> None:
    """Raises BadUserInput when there are too many different ones."""
    if values is not None and (different := len(set(values))) > MAXIMUM_SIZE:
        raise BadUserInput(f"'{name}' may hold at most {MAXIMUM_SIZE} values, not {different}.")


def _graphql_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
