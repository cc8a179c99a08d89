"""Orders that a cursor can go on from: one column, nulls last in both directions, ties broken by id.

A position is the (value, id) of a row. Rows that appear, vanish or change elsewhere do not shift it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, and_, or_


@dataclass(frozen=True, slots=True)
class Ordering:
    """Rows of a table by ``column``, then by ``key``."""

    column: Any
    key: Any
    descending: bool

    def clauses(self, *, backwards: bool = False) -> list[UnaryExpression[Any]]:
        """ORDER BY; ``backwards`` is the exact reverse."""
        by = self.column.desc() if self.descending != backwards else self.column.asc()
        if self.column.nullable:
            by = by.nulls_first() if backwards else by.nulls_last()
        return [by, self.key.desc() if backwards else self.key.asc()]

    def beyond(self, value: Any, key: str) -> ColumnElement[bool]:
        """Rows that come after the position."""
        column = self.column
        if value is None:
            return and_(column.is_(None), self.key > key)
        further = column < value if self.descending else column > value
        reach = column <= value if self.descending else column >= value
        seek = and_(reach, or_(further, self.key > key))
        return or_(seek, column.is_(None)) if column.nullable else seek

    def ahead_of(self, value: Any, key: str) -> ColumnElement[bool]:
        """Rows that come before the position."""
        column = self.column
        if value is None:
            return or_(column.is_not(None), self.key < key)
        nearer = column > value if self.descending else column < value
        reach = column >= value if self.descending else column <= value
        return and_(reach, or_(nearer, self.key < key))
