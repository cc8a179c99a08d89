"""What every filter must keep to, whatever it is for."""

from collections.abc import Hashable, Sequence
from typing import Any

from resolvers.errors import BadUserInput
from resolvers.paging import MAXIMUM_SIZE


def check_filter(filter: Any) -> None:
    """Raises BadUserInput for a list of more values than a page has rows; both stores take that many."""
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
