"""A closer look at attempts: which documents failed, and how long each stage took (onyx.md §2, §5)."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from connectory.model import JobErrorFact, JobFindings
from sources.base import SourceError, SourceMismatch, count, flag, instant, without_secrets
from sources.onyx.mapping import discreet
from sources.onyx.wire import ERRORS_PAGE, OnyxClient, PairUnknown

#: Pages of errors that are read of a pair at most.
PAGES = 50
#: Attempts whose stages are asked for at once.
CONCURRENCY = 4

#: Keys of an IndexAttemptError; what stands under others might be a secret.
_ERROR_KEYS = frozenset(
    {
        "id",
        "connector_credential_pair_id",
        "index_attempt_id",
        "document_id",
        "document_link",
        "entity_id",
        "failed_time_range_start",
        "failed_time_range_end",
        "failure_message",
        "is_resolved",
        "time_created",
        "error_type",
    }
)

_logger = logging.getLogger(__name__)

_Item = Mapping[str, Any]


async def examine(http: OnyxClient, pair: str, jobs: AbstractSet[str]) -> dict[str, JobFindings]:
    """What is found of these attempts of the cc-pair; nothing of a pair that is not there for us any more.

    ``errors`` holds what can be read, ``details["document_errors"]`` the items as they were sent. Of a pair with more
    than five thousand errors since the oldest attempt asked for, the newest are told.
    """
    numbers = {int(job) for job in jobs if job.isdecimal()}
    if not numbers or not pair.isdecimal():
        return {}
    try:
        errors = await _errors(http, pair, numbers)
    except PairUnknown:
        return {}
    stages = await _stages(http, sorted(numbers, reverse=True))
    found = {}
    for number, items in errors.items():
        details: dict[str, Any] = {"document_errors": [shown(item) for item in items]}
        if stages.get(number) is not None:
            details["stage_metrics"] = stages[number]
        facts = tuple(fact for item in items if (fact := _readable(item)) is not None)
        found[str(number)] = JobFindings(errors=facts, details=details)
    return found


async def _errors(http: OnyxClient, pair: str, numbers: set[int]) -> dict[int, list[_Item]]:
    """The errors of each attempt, newest first. Errors that are added meanwhile move others to the next page, where
    they are met again."""
    found: dict[int, list[_Item]] = {number: [] for number in numbers}
    oldest, seen = min(numbers), set[object]()
    for page in range(PAGES):
        items = await http.errors(pair, page)
        before, older = len(seen), 0
        for place, item in enumerate(items):
            attempt = _attempt_of(item)
            older += attempt is not None and attempt < oldest
            identity = item.get("id") if isinstance(item, Mapping) else None
            key = identity if isinstance(identity, int) else (page, place)
            if key not in seen and attempt in found:
                found[attempt].append(item)
            seen.add(key)
        if len(items) < ERRORS_PAGE or older == len(items) or len(seen) == before:
            break
    return found


def _attempt_of(item: object) -> int | None:
    try:
        attempt = count(item.get("index_attempt_id")) if isinstance(item, Mapping) else None
    except SourceMismatch:
        attempt = None
    if attempt is None:
        _logger.warning("An error of Onyx names no index attempt", extra={"action": "document_error_skipped"})
    return attempt


async def _stages(http: OnyxClient, numbers: list[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    waiting = deque(numbers)

    async def ask() -> None:
        try:
            while waiting:
                number = waiting.popleft()
                found[number] = without_secrets(await http.stages(number))
        except SourceError:
            waiting.clear()
            raise

    outcomes = await asyncio.gather(*(ask() for _ in range(min(CONCURRENCY, len(numbers)))), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return found


def document_error(item: _Item) -> JobErrorFact:
    """One IndexAttemptError (§5): of a document, or of an entity of the source. Raises SourceMismatch."""
    message = discreet(item.get("failure_message"))
    if message is None:
        raise SourceMismatch("failure_message: missing")
    return JobErrorFact(
        message=message,
        document_id=discreet(item.get("document_id")) or discreet(item.get("entity_id")),
        url=discreet(item.get("document_link")),
        at=instant(item.get("time_created")),
        is_resolved=flag(item.get("is_resolved")),
    )


def _readable(item: _Item) -> JobErrorFact | None:
    try:
        return document_error(item)
    except SourceMismatch:
        return None


def shown(item: _Item) -> dict[str, Any]:
    """The item as it was sent, without secrets."""
    return {key: _discreet(value if key in _ERROR_KEYS else without_secrets(value, key)) for key, value in item.items()}


def _discreet(value: Any) -> Any:
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, Mapping):
        return {key: _discreet(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_discreet(inner) for inner in value]
    return value
