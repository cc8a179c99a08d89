"""What the engine works out of a job's progress from one row to the next. It stands in the row, so a restart forgets
none of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from connectory.engine.judging.movement import watched
from connectory.engine.judging.views import Gap
from connectory.engine.memory.open_jobs import PROGRESS_COLUMNS, backlog
from connectory.model import RUNNING

Columns = dict[str, Any]


def begun(row: Mapping[str, Any], now: datetime) -> Columns:
    """Of a job that is seen for the first time."""
    return {
        "moved_at": now if row["is_open"] else None,
        "longest_quiet": None,
        "waiting_since": now if backlog(row) else None,
    }


def followed(before: Mapping[str, Any], after: Mapping[str, Any], now: datetime, gaps: Iterable[Gap]) -> Columns:
    """Of the row that follows on ``before``; ``gaps``: when nobody watched."""
    moved = any(before[name] != after[name] for name in PROGRESS_COLUMNS)
    turned = before["status"] is not after["status"]
    return {
        "moved_at": now if moved or turned else before["moved_at"],
        "longest_quiet": _longest_stall(before, after, now, gaps, moved=moved),
        "waiting_since": _waiting_since(before, after, now),
    }


def _waiting_since(before: Mapping[str, Any], after: Mapping[str, Any], now: datetime) -> datetime | None:
    """Since when records wait in a stream without a pause; None: none do."""
    if not backlog(after):
        return None
    since: datetime | None = before["waiting_since"] if backlog(before) else now
    return since


def _longest_stall(
    before: Mapping[str, Any], after: Mapping[str, Any], now: datetime, gaps: Iterable[Gap], *, moved: bool
) -> float | None:
    """A pause lasts until something moves or the job ends. One that somebody ends by a hold is no example."""
    longest: float | None = before["longest_quiet"]
    ended = before["is_open"] and not after["is_open"]
    counts = after["processed"] is not None
    if before["status"] not in RUNNING or before["moved_at"] is None or not counts or not (moved or ended):
        return longest
    return max(longest or 0.0, watched(before["moved_at"], now, gaps))
