"""LucidWorks Search 2.x in our words: pure functions from decoded JSON to facts and runs.

A value of the wrong kind is left out and noted in the entry's complaints; an unknown word is no error: it maps to
UNKNOWN and stays readable as ``upstream_status``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobStatus, JsonObject
from sources.base import SourceMismatch
from sources.lucidworks.redaction import plain_text, rest
from sources.lucidworks.runs import Run
from sources.reading import LenientReader, count, details, flag, identifier, instant, slug

#: crawl_state (lucidworks.md §5); FINISHED becomes SUCCEEDED_WITH_ERRORS when documents failed (§12.3)
JOB_STATUS: Mapping[str, JobStatus] = {
    "STARTING": JobStatus.PENDING,
    "RUNNING": JobStatus.RUNNING,
    "FINISHING": JobStatus.RUNNING,
    "STOPPING": JobStatus.CANCELING,
    "ABORTING": JobStatus.CANCELING,
    "FINISHED": JobStatus.SUCCEEDED,
    "STOPPED": JobStatus.CANCELED,
    "ABORTED": JobStatus.CANCELED,
    "EXCEPTION": JobStatus.FAILED,
    "IDLE": JobStatus.UNKNOWN,
    "UNKNOWN": JobStatus.UNKNOWN,
}

#: The crawl's state decides the data source's: it has no other.
CONNECTOR_STATUS: Mapping[str | None, ConnectorStatus] = {
    None: ConnectorStatus.INACTIVE,
    "IDLE": ConnectorStatus.INACTIVE,
    "EXCEPTION": ConnectorStatus.ERROR,
    "UNKNOWN": ConnectorStatus.UNKNOWN,
    **dict.fromkeys(
        ("STARTING", "RUNNING", "FINISHING", "STOPPING", "ABORTING", "FINISHED", "STOPPED", "ABORTED"),
        ConnectorStatus.ACTIVE,
    ),
}

TROUBLED = frozenset({ConnectorStatus.ERROR, ConnectorStatus.UNKNOWN})

#: counter → its place among the counts (§4)
COUNTERS: Mapping[str, str] = {
    "num_new": "added",
    "num_updated": "updated",
    "num_deleted": "deleted",
    "num_unchanged": "unchanged",
    "num_failed": "failed",
    "num_access_denied": "access_denied",
    "num_filter_denied": "filter_denied",
    "num_robots_denied": "robots_denied",
    "num_not_found": "not_found",
    "num_total": "total",
}

_SOURCE_KEYS = frozenset({"id", "name", "type"})
_STATUS_KEYS = frozenset({"id", "batch_job", "crawl_state", "crawl_started", "crawl_stopped", "message", *COUNTERS})


def source_id(collection: str, number: str) -> str:
    """A data source's external id; ids alone tell nothing of the collection that their paths need."""
    return f"{collection}/{number}"


def place_of(source: str) -> tuple[str, str]:
    """Collection and id of an external id."""
    collection, _, number = source.rpartition("/")
    return collection, number


def connector(
    entry: LenientReader, collection: str, status: LenientReader | None, about_collection: JsonObject | None = None
) -> ConnectorFact:
    """A data source (§3) with its status (§4), None when it never ran, and what else the list of collections tells of
    its collection. Raises SourceMismatch without a readable id."""
    number = entry("id", identifier)
    if number is None:
        raise SourceMismatch("id: missing or not readable")
    kind = entry("type", plain_text)
    word = status("crawl_state", plain_text) if status else None
    known = CONNECTOR_STATUS.get(word, ConnectorStatus.UNKNOWN)
    extra = rest(entry, _SOURCE_KEYS)
    if extra.get("collection") == collection:
        del extra["collection"]
    return ConnectorFact(
        external_id=source_id(collection, number),
        name=(entry("name", plain_text) or "").strip() or f"{kind or 'data source'} {number}",
        source=slug(kind),
        status=known,
        upstream_status=word,
        error_message=_failure(status) if status and known in TROUBLED else None,
        details=details(
            "LucidworksDataSourceDetails",
            {
                "collection": collection,
                "collection_extra": about_collection,
                "data_source_id": number,
                "batch_job": status("batch_job", flag) if status else None,
                "crawl_state": word,
                "job_id": status("job_id", identifier) if status else None,
                "extra": {"type": kind, **extra},
            },
        ),
    )


def unread(fact: ConnectorFact) -> ConnectorFact:
    """The same data source when its state could not be read."""
    return replace(fact, status=ConnectorStatus.UNKNOWN, upstream_status=None)


def run(entry: LenientReader) -> Run | None:
    """The crawl that a status or a history entry tells of; None when there was none.

    Raises SourceMismatch when there was one and its state or its start cannot be read.
    """
    word = entry("crawl_state", plain_text)
    started = entry("crawl_started", instant)
    if entry.complaints:
        raise SourceMismatch("; ".join(entry.complaints))
    if started is None:
        return None
    if word is None:
        raise SourceMismatch("crawl_state: missing")
    counts = _counts(entry)
    status = JOB_STATUS.get(word, JobStatus.UNKNOWN)
    if status is JobStatus.SUCCEEDED and counts.failed:
        status = JobStatus.SUCCEEDED_WITH_ERRORS
    stopped = None if status.open else entry("crawl_stopped", instant)
    if stopped is not None and stopped < started:
        entry.complaints.append("crawl_stopped: earlier than crawl_started")
        stopped = None
    ended = status.ended or stopped is not None
    return Run(
        word=word,
        status=status,
        started=started,
        stopped=stopped,
        counts=counts,
        docs_in_index=_sum(entry, counts.added, counts.updated, counts.unchanged) if ended else None,
        message=_failure(entry),
        batch_job=entry("batch_job", flag),
        extra=_job_extra(entry),
    )


def _job_extra(entry: LenientReader) -> dict[str, Any]:
    extra = rest(entry, _STATUS_KEYS)
    if "job_id" in extra:
        extra["job_id"] = entry("job_id", identifier)  # text on one page, a number on another
    return extra


def _counts(entry: LenientReader) -> CountsFact:
    """A counter that is absent is None, not 0."""
    counts = {place: entry(key, count) for key, place in COUNTERS.items()}
    return CountsFact(indexed=_sum(entry, counts["added"], counts["updated"]), **counts)


def _sum(entry: LenientReader, *numbers: int | None) -> int | None:
    """None when a part is unknown, or when the sum is beyond 64 bits."""
    parts = [number for number in numbers if number is not None]
    if len(parts) < len(numbers):
        return None
    total = sum(parts)
    if total >= 2**63:
        entry.complaints.append("the counters of documents make more than 64 bits together")
        return None
    return total


def _failure(entry: LenientReader) -> str | None:
    """``message``, or the first one under ``exception``."""
    if message := entry("message", plain_text):
        return message
    listed = entry.sent.get("exception")
    first = listed[0] if isinstance(listed, list) and listed else None
    return LenientReader(first)("message", plain_text) if isinstance(first, Mapping) else None
