"""What a stream has received and not processed, and since when there is something to do. Of other jobs: nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connectory.model import JobType


def backlog(row: Mapping[str, Any]) -> int | None:
    """Records that wait in the stream of this row; None where it is no stream, or does not say."""
    received: int | None = row["counted_total"]
    processed: int | None = row["processed"]
    if row["type"] is not JobType.STREAM or received is None or processed is None:
        return None
    return max(0, received - processed)


def waiting_since(before: Mapping[str, Any] | None, after: Mapping[str, Any], now: datetime) -> datetime | None:
    """Since when records wait without a pause, of the row that follows on ``before``; None: none do."""
    if not backlog(after):
        return None
    since: datetime | None = before["waiting_since"] if before is not None and backlog(before) else now
    return since
