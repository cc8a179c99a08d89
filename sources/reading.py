"""Reading what an upstream sent: one value, the values of an object, the entries of a list.

The functions take whatever JSON holds, answer None for None, and raise SourceMismatch for a value of another kind.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectory.model import Details, JsonObject, Problem
from connectory.redaction import extra, text
from sources.base import SourceMismatch

__all__ = [
    "LenientReader",
    "Reader",
    "by_turns",
    "count",
    "details",
    "extra",
    "flag",
    "identifier",
    "instant",
    "json_object",
    "mismatches",
    "readable",
    "slug",
    "text",
]

_T = TypeVar("_T")

# ---- one value


def count(value: object) -> int | None:
    """A counter: a whole number from 0 to 2^63-1. Never clamps."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise SourceMismatch(f"expected a counter of 64 bits, got {str(value)[:80]!r}")
    return value


def flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise SourceMismatch(f"expected true or false, got {str(value)[:80]!r}")


def identifier(value: object) -> str | None:
    """An id as text, where upstreams send text or a whole number; None when it is blank."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = text(value)
    return found if found and found.strip() else None


_FRACTION = re.compile(r"(\.\d{6})\d+")


def instant(value: object) -> datetime | None:
    """A moment in UTC from what upstreams send: ISO 8601 with ``Z``, an offset, ``+0000``, nine fractional digits or
    no zone at all (then UTC), or epoch milliseconds as a number (elastic.md §8, lucidworks.md §6)."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        if isinstance(value, str):
            moment = datetime.fromisoformat(_FRACTION.sub(r"\1", value))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise SourceMismatch(f"expected a time, got {str(value)[:80]!r}")


def json_object(value: object) -> JsonObject | None:
    if value is None or isinstance(value, Mapping):
        return value
    raise SourceMismatch(f"expected an object, got {type(value).__name__}")


def slug(value: str | None) -> str:
    """A source's name as ``[a-z0-9_]``; ``unknown`` when there is none."""
    return re.sub(r"[^a-z0-9]+", "_", (value or "").lower()).strip("_") or "unknown"


# ---- an object


class Reader:
    """The values of a JSON object: ``read = Reader(sent)``, then ``read("name", text)``.

    Raises SourceMismatch for what is no object, and for a value that cannot be read, which it names.
    """

    def __init__(self, sent: object) -> None:
        if not isinstance(sent, Mapping):
            raise SourceMismatch(f"expected an object, got {type(sent).__name__}")
        self.sent: JsonObject = sent

    def __call__(self, key: str, kind: Callable[[object], _T | None]) -> _T | None:
        """The value under ``key`` as ``kind`` takes it; None when it is absent."""
        try:
            return kind(self.sent.get(key))
        except SourceMismatch as error:
            raise SourceMismatch(f"{key}: {error}") from None

    def demand(self, key: str, kind: Callable[[object], _T | None]) -> _T:
        """The same, of what nothing can be said without. Raises SourceMismatch when it is absent."""
        value = Reader.__call__(self, key, kind)
        if value is None:
            raise SourceMismatch(f"{key}: missing")
        return value


class LenientReader(Reader):
    """The same, where a value that cannot be read costs itself alone: it is left out, and ``complaints`` name it."""

    def __init__(self, sent: object, complaints: list[str] | None = None, within: str = "") -> None:
        super().__init__(sent)
        self.complaints = [] if complaints is None else complaints
        self._within = within

    def __call__(self, key: str, kind: Callable[[object], _T | None]) -> _T | None:
        """The value under ``key`` as ``kind`` takes it; None when it is absent or cannot be read."""
        try:
            return super().__call__(key, kind)
        except SourceMismatch as error:
            self.complaints.append(f"{self._within}{error}")
            return None

    def inner(self, key: str) -> "LenientReader":
        """A reader of the object under ``key``, of an empty one when there is none. They share their complaints."""
        return LenientReader(self(key, json_object) or {}, self.complaints, f"{self._within}{key}.")


def mismatches(what: str, complaints: Iterable[str]) -> list[Problem]:
    """A problem for each complaint, once."""
    return [SourceMismatch(complaint).problem(what) for complaint in dict.fromkeys(complaints)]


def details(type_name: str, values: Mapping[str, Any]) -> Details:
    """``values`` as compact JSON text with sorted keys, so that equal values are equal text. Times become ISO text."""
    return Details(type_name, _ENCODER.encode(values))


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_encode)

# ---- a list

#: Entries of a list between two turns of the event loop: some milliseconds with mapping.
_ENTRIES_PER_TURN = 50


async def by_turns(entries: Iterable[_T]) -> AsyncIterator[_T]:
    """``entries``, and now and then a turn for everybody else: nobody promises how long an upstream's list is."""
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % _ENTRIES_PER_TURN == 0:
            await asyncio.sleep(0)


async def readable(
    entries: Iterable[object],
    read: Callable[[object], _T],
    problems: list[Problem],
    *,
    named: Callable[[int, object], str],
) -> AsyncIterator[_T]:
    """What ``read`` makes of each entry, by turns.

    One that it cannot read costs no other: it becomes one of ``problems``, under the name that ``named`` gives for its
    place, from 1, and what was sent.
    """
    async for place, entry in by_turns(enumerate(entries, 1)):
        try:
            yield read(entry)
        except SourceMismatch as error:
            problems.append(error.problem(named(place, entry)))
