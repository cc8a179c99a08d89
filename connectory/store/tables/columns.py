"""Columns and their types, which mean the same on SQLite and on PostgreSQL."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import new_class
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    SmallInteger,
    Text,
    TypeDecorator,
)
from sqlmodel import Field, SQLModel

from connectory.model import DescribedEnum
from connectory.model.fields import StoredField

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _PlainText(TypeDecorator[str]):
    """Text compared byte by byte. A NUL or half a surrogate pair, which PostgreSQL refuses, becomes U+FFFD on the way:
    one odd character in an upstream's answer must not keep the rest of it out of the store."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else _UNSTORABLE.sub("\ufffd", value)


#: Keyset cursors need one order everywhere.
Name = _PlainText().with_variant(_PlainText(collation="C"), "postgresql")
#: Counters; SQLite's INTEGER has 64 bits too.
Long = BigInteger()


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond. Refuses a time without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone reached the store")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Ranked(TypeDecorator[DescribedEnum]):
    """An enum stored as its rank, so that sorting by the column is sorting in declaration order."""

    impl = SmallInteger
    cache_ok = True

    def __init__(self, of: type[DescribedEnum]) -> None:
        super().__init__()
        self.of = of
        self._members = tuple(of)

    def process_bind_param(self, value: DescribedEnum | None, dialect: Dialect) -> int | None:
        return None if value is None else value.value

    def process_result_value(self, value: int | None, dialect: Dialect) -> Any:
        return None if value is None else self._members[value]


_TYPES: Mapping[type[Any], Any] = {str: Name, int: Long, float: Float(), bool: Boolean(), datetime: Instant()}


def column(field: StoredField) -> Column[Any]:
    """The column of a field; the primary key is ``id``."""
    if issubclass(field.type, DescribedEnum):
        stored: Any = Ranked(field.type)
    else:
        stored = Integer() if field.small else _TYPES[field.type]
    return Column(field.name, stored, primary_key=field.name == "id", nullable=field.null, default=field.default)


def model(name: str, table: str, fields: Iterable[StoredField], *indexes: Index) -> type[SQLModel]:
    """The SQLModel of a table whose columns are these fields."""
    fields = tuple(fields)
    body = {
        "__tablename__": table,
        "__table_args__": indexes,
        "__annotations__": {field.name: field.type | None for field in fields},
        **{field.name: Field(default=None, sa_column=column(field)) for field in fields},
    }
    return new_class(name, (SQLModel,), {"table": True}, lambda namespace: namespace.update(body))


# ---- columns of a model, by what they hold


def key_column() -> Any:
    """Text, the primary key or a part of it."""
    return Field(sa_column=Column(Name, primary_key=True))


def text_column(*, null: bool = False, unique: bool = False) -> Any:
    """Text, compared byte by byte."""
    return Field(default=None, sa_column=Column(Name, nullable=null, unique=unique))


def enum_column(of: type[DescribedEnum], *, null: bool = False) -> Any:
    """An enum of the model, ordered as it is declared."""
    return Field(default=None, sa_column=Column(Ranked(of), nullable=null))


def time_column(*, null: bool = True) -> Any:
    """A moment in UTC, to the microsecond."""
    return Field(default=None, sa_column=Column(Instant(), nullable=null))


def long_column() -> Any:
    """A whole number of 64 bits, or null."""
    return Field(default=None, sa_column=Column(Long, nullable=True))


def json_column() -> Any:
    """JSON as text: what was mapped is what is stored, to the byte, on both stores."""
    return text_column(null=True)
