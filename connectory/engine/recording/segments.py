"""What a job had done before its upstream resumed it: kept when the upstream counts anew in the same job. Pure.

A suspended Elastic job goes on under its id with a new start, and its worker counts from zero (elastic.md §7).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connectory.model import JobType
from connectory.model.fields import COUNTER_COLUMNS
from connectory.store.rows import Row

#: Segments of one job that are kept, the newest ones.
MOST = 100

#: A row before and after.
Change = tuple[Row, Row]


def was_resumed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a job began again between two rows: its start moved forward, or its progress fell to less than half.

    Streams do not count: what they have processed is a difference of two counters that are not read at once.
    """
    return _began_again(before, after) or _counts_anew(before, after)


def segments(resumed: Sequence[Change], newest: Mapping[str, Row], observed_at: datetime | None) -> list[Row]:
    """Rows of what these jobs had done before they were resumed.

    ``newest``: the newest segment that is kept of each. ``observed_at``: when the system was seen last; it stands in
    where a job's own last sign of life is not known.
    """
    rows = []
    for before, after in resumed:
        kept = newest.get(before["id"])
        if kept is None or not _is_kept(kept, before, after):
            rows.append(_segment(before, 1 if kept is None else kept["number"] + 1, observed_at))
    return rows


def _began_again(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    earlier, later = before["started_at"], after["started_at"]
    return earlier is not None and later is not None and later > earlier


def _counts_anew(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if before["type"] is JobType.STREAM or before["processed"] is None or after["processed"] is None:
        return False
    return bool(2 * after["processed"] < before["processed"])


def _is_kept(kept: Row, before: Row, after: Row) -> bool:
    """A new start and new counts may come one poll apart; together they are one resumption."""
    if _began_again(before, after):
        return bool(kept["started_at"] == before["started_at"])
    return bool(kept["processed"] == before["processed"] and kept["started_at"] != before["started_at"])


def _segment(before: Row, number: int, observed_at: datetime | None) -> Row:
    counts = {name: before[column] for name, column in COUNTER_COLUMNS.items()}
    return {
        "job_id": before["id"],
        "number": number,
        "started_at": before["started_at"],
        "ended_at": before["last_seen_at"] or before["observed_at"] or observed_at,
        "processed": before["processed"],
        "counts": json.dumps({name: count for name, count in counts.items() if count is not None}),
    }
