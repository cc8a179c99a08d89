"""Column types that mean the same on SQLite and on PostgreSQL."""

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, SmallInteger, Text, TypeDecorator

from connectory.model import DescribedEnum

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
