"""Reading one JSON object of an answer so that a wrong value costs that value alone, and is told of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectory.model import JsonObject, Problem
from sources.base import SourceMismatch, bounded, count, instant
from sources.feldera.discretion import discreet, stripped

_T = TypeVar("_T")

#: Entries of a list between two turns of the event loop: some milliseconds with mapping.
_STRETCH = 50


async def by_turns(entries: Iterable[_T]) -> AsyncIterator[_T]:
    """``entries``, and now and then a turn for everybody else: nobody promises how long an upstream's list is."""
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % _STRETCH == 0:
            await asyncio.sleep(0)


class Reader:
    """Values of the object ``sent``, which messages call ``about``; complaints go to ``problems``."""

    def __init__(self, about: str, sent: object, problems: list[Problem]) -> None:
        if not isinstance(sent, Mapping):
            raise SourceMismatch(f"{about}: expected an object, got {type(sent).__name__}")
        self.about, self.sent, self.problems = about, sent, problems

    def __call__(self, key: str, kind: Callable[[object], _T | None]) -> _T | None:
        """The value under ``key`` as ``kind`` takes it; None when it is absent or wrong."""
        try:
            return kind(self.sent.get(key))
        except SourceMismatch as error:
            self.problems.append(Problem(error.code, f"{self.about}: {key}: {error}"))
            return None

    def demand(self, key: str, kind: Callable[[object], _T | None]) -> _T:
        """As above, for what nothing can be said without. Raises SourceMismatch."""
        try:
            value = kind(self.sent.get(key))
        except SourceMismatch as error:
            raise SourceMismatch(f"{self.about}: {key}: {error}") from None
        if value is None:
            raise SourceMismatch(f"{self.about}: {key}: missing")
        return value

    def inner(self, key: str) -> "Reader | None":
        """A reader of the object under ``key``; None when there is none."""
        value = self(key, mapping)
        return None if value is None else Reader(f"{self.about}: {key}", value, self.problems)

    def others(self, known: frozenset[str]) -> dict[str, Any] | None:
        """What was sent under other keys, without secrets and what is too large; None when there is nothing."""
        return {key: unknown(value, key) for key, value in self.sent.items() if key not in known} or None


def mapping(value: object) -> JsonObject | None:
    if value is None or isinstance(value, Mapping):
        return value
    raise SourceMismatch(f"expected an object, got {type(value).__name__}")


def free(value: object) -> Any:
    """Any JSON, without secrets."""
    return stripped(value)


def unknown(value: object, key: str = "") -> Any:
    """What stands under a key that no page explains, without secrets; a note in its place when it is too large."""
    return stripped(bounded(value), key)


def epoch_seconds(value: object) -> datetime | None:
    """``start_time`` counts seconds, unlike all other times of Feldera (feldera.md §6)."""
    number = count(value)
    if number is None:
        return None
    try:
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        raise SourceMismatch(f"expected a time, got {number}") from None


def error_texts(about: str, value: object, problems: list[Problem]) -> list[dict[str, Any]] | None:
    """A list of ConnectorError (feldera.md §5) as ``{index, tag, message, at}``; None when there is no list."""
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise SourceMismatch(f"expected a list, got {type(value).__name__}")
    texts = []
    for sent in value:
        try:
            read = Reader(about, sent, problems)
            message = read.demand("message", discreet)
        except SourceMismatch as error:
            problems.append(Problem(error.code, str(error)))
            continue
        at = read("timestamp", instant)
        index, tag = read("index", count), read("tag", discreet)
        texts.append({"index": index, "tag": tag, "message": message, "at": at.isoformat() if at else None})
    return texts
