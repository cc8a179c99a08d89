"""How often a connector's own schedule starts a content sync (elastic.md §5): Quartz cron, seconds first, UTC.

Only what is the same every day is read, from its fields. Libraries tell the next start: croniter would have to walk
from start to start, a hundred times the work, and cronsim does not know Quartz's "?".
"""

import re
from collections.abc import Mapping
from typing import Any

_DAY = 86_400
#: The kinds of syncs that move content.
_CONTENT = ("full", "incremental")
_NUMBER, _STEPS, _RANGE = (
    re.compile(each) for each in (r"[0-9]{1,2}", r"(\*|[0-9]{1,2})/([0-9]{1,4})", r"([0-9]{1,2})-([0-9]{1,2})")
)


def is_unscheduled(scheduling: object) -> bool:
    """Whether it says that no content sync starts by itself. False where it says nothing."""
    entries = _entries(scheduling)
    return bool(entries) and all(entry.get("enabled") is False for entry in entries)


def longest_distance(scheduling: object) -> float | None:
    """Seconds between two starts, at most, of the enabled schedule that starts more often. None: none is enabled, or it
    does not go the same way every day."""
    distances = [_distance(entry.get("interval")) for entry in _entries(scheduling) if entry.get("enabled") is True]
    return min((each for each in distances if each is not None), default=None)


def _entries(scheduling: object) -> list[Mapping[str, Any]]:
    if not isinstance(scheduling, Mapping):
        return []
    return [entry for kind in _CONTENT if isinstance(entry := scheduling.get(kind), Mapping)]


def _distance(cron: object) -> float | None:
    """The longest pause in a day whose like every day is."""
    fields = cron.split() if isinstance(cron, str) else []
    if len(fields) not in (6, 7) or any(field not in ("*", "?") for field in fields[3:]):
        return None
    # a start within the hour is told to the second; which second it is does not matter to a distance
    minutes, hours = _values(fields[1], 60), _values(fields[2], 24)
    if not minutes or not hours or not _values(fields[0], 60):
        return None
    starts = [(hour * 60 + minute) * 60 for hour in hours for minute in minutes]
    following = [*starts[1:], starts[0] + _DAY]
    return float(max(after - before for before, after in zip(starts, following, strict=True)))


def _values(field: str, end: int) -> list[int] | None:
    """What a field below ``end`` lets through, ascending; None where it cannot be read."""
    found: set[int] = set()
    for part in field.split(","):
        if part in ("*", "?"):
            found |= set(range(end))
        elif _NUMBER.fullmatch(part):
            found.add(int(part))
        elif (steps := _STEPS.fullmatch(part)) and int(steps[2]) > 0:
            found |= set(range(0 if steps[1] == "*" else int(steps[1]), end, int(steps[2])))
        elif (ends := _RANGE.fullmatch(part)) and int(ends[2]) < end:
            found |= set(range(int(ends[1]), int(ends[2]) + 1))
        else:
            return None
    return sorted(found) if found and max(found) < end else None
