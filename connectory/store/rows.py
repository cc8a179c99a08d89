"""Rows as dictionaries, column → value, on their way into the store and out of it; and how many one statement takes."""

from collections.abc import Iterator, Sequence
from typing import Any

#: Rows per statement.
BATCH = 500

Row = dict[str, Any]


def batches(items: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
