"""Fusion in our words (lucidworks.md §11): five shapes of answers that all tell of one run.

The job API's list and its history, the connector job of Fusion 1 to 4 and that of Fusion 5, and the old history.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, JobStatus
from sources.base import SourceMismatch
from sources.lucidworks import mapping
from sources.lucidworks.redaction import plain_text, redacted, rest
from sources.lucidworks.runs import Run
from sources.reading import LenientReader, count, details, instant, slug

RESOURCE = "datasource:"

#: The job API's words are lower case, the connector jobs' are upper case; not all of them are in the pages.
JOB_STATUS: Mapping[str, JobStatus] = {
    **mapping.JOB_STATUS,
    "READY": JobStatus.UNKNOWN,
    "SUCCESS": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
}
CONNECTOR_STATUS: Mapping[str | None, ConnectorStatus] = {
    **mapping.CONNECTOR_STATUS,
    "READY": ConnectorStatus.INACTIVE,
    "SUCCESS": ConnectorStatus.ACTIVE,
    "FAILED": ConnectorStatus.ERROR,
}

_WORDS = ("status", "state", "crawl_state")
_STARTS = ("lastStartTime", "startTime", "crawl_started")
_ENDS = ("lastEndTime", "endTime", "crawl_stopped")
_REASONS = ("message", "error", "exception")
#: What tells of the data source rather than of a run.
_STANDING = frozenset({"resource", "enabled", "startedBy"})
_RUN_KEYS = frozenset(
    {*_WORDS, *_STARTS, *_ENDS, *_REASONS, *_STANDING, "id", "dataSourceId", "extra", "counters", "pipeline"}
)
_SOURCE_KEYS = frozenset({"id", "name", "type", "created", "modified"})
_COUNTER = "counter."

#: what is counted → its names, the later ones in Fusion 5
_NAMES: Mapping[str, tuple[str, ...]] = {
    "total": ("input", "pipeline.in", "fetch.plugin-response.document"),
    "indexed": ("output", "pipeline.out", "content-indexer.completed.count"),
    "added": ("new",),
    "deleted": ("deleted",),
    "failed": ("failed",),
}


def source_of(entry: LenientReader) -> str | None:
    """The data source that an entry of the job list is about; None for another kind of job."""
    resource = entry("resource", plain_text)
    if resource is None:
        raise SourceMismatch("resource: missing or not readable")
    return resource.removeprefix(RESOURCE) if resource.startswith(RESOURCE) else None


def connector(number: str, entry: LenientReader | None, job: LenientReader | None) -> ConnectorFact:
    """The data source ``number`` with its job; either may be missing."""
    word = _word(job) if job else None
    status = CONNECTOR_STATUS.get(word and word.upper(), ConnectorStatus.UNKNOWN)
    kind = entry("type", plain_text) if entry else None
    collection = entry.inner("properties")("collection", plain_text) if entry else None
    standing = {key: job.sent[key] for key in sorted(_STANDING) if key in job.sent} if job else {}
    return ConnectorFact(
        external_id=number,
        name=((entry("name", plain_text) if entry else None) or number).strip() or number,
        source=slug((kind or "").rpartition(".")[2]),
        status=status,
        upstream_status=word,
        error_message=_reason(job) if job and status in mapping.TROUBLED else None,
        created_at=entry("created", instant) if entry else None,
        updated_at=entry("modified", instant) if entry else None,
        details=details(
            "LucidworksDataSourceDetails",
            {
                "collection": collection,
                "collection_extra": None,
                "data_source_id": number,
                "batch_job": None,
                "crawl_state": word,
                "job_id": None,
                "extra": {"type": kind, **(rest(entry, _SOURCE_KEYS) if entry else {}), **standing},
            },
        ),
    )


def run(entry: LenientReader) -> Run | None:
    """The run that any of the shapes tells of; None when there was none.

    Raises SourceMismatch when there was one and its state or its start cannot be read.
    """
    extra = entry.inner("extra")
    word, started = _word(entry), _first(entry, extra, _STARTS)
    if entry.complaints:
        raise SourceMismatch("; ".join(entry.complaints))
    if started is None:
        return None
    if word is None:
        raise SourceMismatch("status: missing")
    numbers = _numbers(entry, extra)
    counts = CountsFact(
        **{place: next((numbers[name] for name in names if name in numbers), None) for place, names in _NAMES.items()}
    )
    status = JOB_STATUS.get(word.upper(), JobStatus.UNKNOWN)
    if status is JobStatus.SUCCEEDED and counts.failed:
        status = JobStatus.SUCCEEDED_WITH_ERRORS
    stopped = None if status.open else _first(entry, extra, _ENDS)
    if stopped is not None and stopped < started:
        entry.complaints.append("end: earlier than the start")
        stopped = None
    others = {key: value for key, value in rest(extra, {"counters"}).items() if not key.startswith(_COUNTER)}
    return Run(
        word=word,
        status=status,
        started=started,
        stopped=stopped,
        counts=counts,
        message=_reason(entry),
        extra={**others, **rest(entry, _RUN_KEYS), **({"counters": numbers} if numbers else {})},
    )


def _word(entry: LenientReader) -> str | None:
    return next((word for key in _WORDS if (word := entry(key, plain_text))), None)


def _first(entry: LenientReader, extra: LenientReader, keys: tuple[str, ...]) -> datetime | None:
    return next((moment for part in (entry, extra) for key in keys if (moment := part(key, instant))), None)


def _reason(entry: LenientReader) -> str | None:
    """Why a run failed: text, or an object with a message."""
    for part in (entry, entry.inner("extra")):
        for key in _REASONS:
            reason = part.sent.get(key)
            reason = reason.get("message") if isinstance(reason, Mapping) else reason
            if isinstance(reason, str) and reason:
                return redacted(reason)
    return None


def _numbers(entry: LenientReader, extra: LenientReader) -> dict[str, int]:
    """All counters by name, without those that are none."""
    numbers: dict[str, int] = {}
    for name, value in _counters(entry, extra):
        try:
            number = count(value)
        except SourceMismatch as error:
            entry.complaints.append(f"{name}: {error}")
            continue
        if number is not None:
            numbers[name] = number
    return numbers


def _counters(entry: LenientReader, extra: LenientReader) -> Iterator[tuple[str, Any]]:
    """As they are sent: ``counter.<name>``; a flat map; a map of maps with ``count``; a map inside of ``pipeline``."""
    for key, value in extra.sent.items():
        if key.startswith(_COUNTER):
            yield key.removeprefix(_COUNTER), value
    for listed in (
        extra.inner("counters"),
        entry.inner("counters"),
        entry.inner("pipeline").inner("stats").inner("counters"),
    ):
        for key, value in listed.sent.items():
            yield key, value.get("count") if isinstance(value, Mapping) else value
