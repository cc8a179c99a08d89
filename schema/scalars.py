"""The three scalars beyond GraphQL's own: DateTime, JSON and Long."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, ValueNode, print_ast, value_from_ast_untyped
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

Long = NewType("Long", int)

LEAST, GREATEST = -(2**63), 2**63 - 1
#: Characters of a refused value that are repeated.
_SHOWN = 100


def write_instant(value: object) -> str:
    """ISO 8601 in UTC. Text passes untouched: details keep their times as ISO text already."""
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise GraphQLError(f"DateTime cannot represent {value!r}: it is no instant with an offset.")
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()


def _shown(value: object, written: str | None) -> str:
    """A refused value as its client wrote it, in the document or else in JSON."""
    text = json.dumps(value, ensure_ascii=False, default=str) if written is None else written
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def read_instant(value: object, written: str | None = None) -> datetime:
    """An instant in UTC from ISO 8601 with an offset. Raises GraphQLError for anything else, a naive time included.

    ``written``: how it stands in the document.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.utcoffset() is not None:
                return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError(
        f"DateTime cannot represent {_shown(value, written)}: write ISO 8601 with an offset, as in "
        "2026-01-31T12:00:00Z."
    )


def write_long(value: object) -> int:
    """Whole numbers of 64 bits; PostgreSQL hands out sums of them as Decimal."""
    if type(value) is int and LEAST <= value <= GREATEST:
        return value
    if isinstance(value, float | Decimal) and value == value // 1:
        return write_long(int(value))
    raise GraphQLError(f"Long cannot represent {value!r}: it is no whole number of 64 bits.")


def read_long(value: object, written: str | None = None) -> int:
    """A whole number of 64 bits. Raises GraphQLError for anything else: true, 1.5, "1" and 2^63 too.

    ``written``: how it stands in the document.
    """
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and LEAST <= value <= GREATEST:
        return value
    shown = _shown(value, written)
    raise GraphQLError(f"Long cannot represent {shown}: give a whole number from -2^63 to 2^63-1.")


def _literal(read: Callable[[object, str], Any]) -> Callable[..., Any]:
    """``read`` for what stands in the document itself: a refusal tells where."""

    def read_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
        try:
            return read(value_from_ast_untyped(node, variables), print_ast(node))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return read_literal


def _same(value: Any) -> Any:
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC, ISO 8601 with an offset. Arguments may have any offset, but must have one.",
        serialize=write_instant,
        parse_value=read_instant,
        parse_literal=_literal(read_instant),
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        serialize=_same,
        parse_value=_same,
    ),
    Long: strawberry.scalar(
        name="Long",
        description=(
            "A signed 64-bit integer, serialised as a JSON number. Document, record and byte counts outgrow Int. "
            "JavaScript is exact up to 2^53; parse with BigInt where more may come."
        ),
        serialize=write_long,
        parse_value=read_long,
        parse_literal=_literal(read_long),
    ),
}
