"""A closer look at attempts: which documents failed, and how long each stage took (onyx.md §2, §5)."""

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from connectory.model import JobErrorFact, JobFindings
from connectory.redaction import QUOTED, without_secrets
from sources.base import SourceMismatch
from sources.onyx.client import ERRORS_PAGE, OnyxClient, PairUnknown
from sources.onyx.mapping import redacted
from sources.reading import Reader, count, flag, instant
from sources.rounds import ask_all

#: Pages of errors that are read of a pair at most.
PAGES = 50

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
    async def ask(number: int) -> Any:
        return without_secrets(await http.stages(number))

    return await ask_all(numbers, ask)


def document_error(item: _Item) -> JobErrorFact:
    """One IndexAttemptError (§5): of a document, or of an entity of the source. Raises SourceMismatch."""
    read = Reader(item)
    return JobErrorFact(
        message=read.demand("failure_message", redacted),
        document_id=read("document_id", redacted) or read("entity_id", redacted),
        url=read("document_link", redacted),
        at=read("time_created", instant),
        is_resolved=read("is_resolved", flag),
    )


def _readable(item: _Item) -> JobErrorFact | None:
    try:
        return document_error(item)
    except SourceMismatch:
        return None


def shown(item: _Item) -> dict[str, Any]:
    """The item as it was sent, without secrets."""
    return {key: QUOTED.without_secrets(value, "" if key in _ERROR_KEYS else key) for key, value in item.items()}
