"""ZenSearch's words in ours: pure functions from a decoded entry to a fact and what was wrong with it.

Little of what the upstream sends is documented (zensearch.md §3, §5), so an entry is kept as long as it can be
identified: a value of the wrong kind leaves its field empty and a complaint that names it. An unknown word is not
wrong: it maps to UNKNOWN and stays readable as ``upstream_status``.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    JsonObject,
    StageFact,
)
from connectory.redaction import QUOTED, without_secrets
from sources.base import SourceMismatch
from sources.reading import LenientReader, count, details, extra, identifier, instant, json_object, slug, text

#: The four badges of the product's pages; ``active`` is the only one that an API page shows (zensearch.md §5).
CONNECTOR_STATUS: Mapping[str, ConnectorStatus] = {
    "active": ConnectorStatus.ACTIVE,
    "paused": ConnectorStatus.PAUSED,
    "error": ConnectorStatus.ERROR,
    "inactive": ConnectorStatus.INACTIVE,
}

_JOB_WORDS: Mapping[JobStatus, tuple[str, ...]] = {
    JobStatus.PENDING: ("queued", "pending", "scheduled"),
    JobStatus.RUNNING: ("running", "in_progress", "processing", "syncing", "started"),
    JobStatus.SUCCEEDED: ("completed", "complete", "succeeded", "success", "done", "finished"),
    JobStatus.FAILED: ("failed", "failure", "error"),
    JobStatus.CANCELED: ("cancelled", "canceled", "aborted", "stopped"),
}
#: Of these only ``queued`` and ``running`` are documented; the rest is the rule of zensearch.md §5.
JOB_STATUS: Mapping[str, JobStatus] = {word: status for status, words in _JOB_WORDS.items() for word in words}

#: The stages of a sync, in the order in which documents pass them.
STAGES = ("collected", "parsed", "indexed")

_CONNECTOR_KEYS = frozenset({"id", "name", "type", "status", "collection", "lastSync", "createdAt", "config"})
_JOB_KEYS = frozenset({"jobId", "status", "progress", "startedAt", "completedAt", "error"})

#: Errors quote what a connector was configured with.
redacted = QUOTED.text


def _expect(read: LenientReader, key: str) -> str | None:
    """The text under ``key``, with a complaint about an absent one too."""
    if read.sent.get(key) is None:
        read.complaints.append(f"{key}: missing")
    return read(key, text)


def _normal(word: str | None) -> str:
    return re.sub(r"[\s-]+", "_", (word or "").strip().lower())


def zulu(moment: datetime) -> str:
    """A time as the upstream writes it: ending in Z."""
    return moment.isoformat().replace("+00:00", "Z")


def connector(entry: object) -> tuple[ConnectorFact, list[str]]:
    """One entry of the list, and complaints. Raises SourceMismatch when it is no object or has no id."""
    read = LenientReader(entry)
    number = read.demand("id", identifier)
    word, kind = _expect(read, "status"), _expect(read, "type")
    source = slug(kind)
    config = read("config", json_object)
    fact = ConnectorFact(
        external_id=number,
        name=(read("name", text) or "").strip() or f"{source} {number}",
        source=source,
        status=CONNECTOR_STATUS.get(_normal(word), ConnectorStatus.UNKNOWN),
        upstream_status=word,
        last_sync_at=read("lastSync", instant),
        created_at=read("createdAt", instant),
        details=details(
            "ZenSearchConnectorDetails",
            {
                "collection": read("collection", text),
                "type": kind or "unknown",
                "config": without_secrets(config),
                "extra": extra(read.sent, _CONNECTOR_KEYS),
            },
        ),
    )
    return fact, read.complaints


def job(entry: object, external_id: str, connector: str, *, seen_at: datetime) -> tuple[JobFact, list[str]]:
    """The status of the job that was asked for, and complaints. ``seen_at`` is when it was first seen: its place when
    it tells no time at all. Raises SourceMismatch when the answer is no object or is about another job.

    ``startedAt`` stands in the answer while the job is still queued: it is the time of the request (zensearch.md §4).
    """
    read = LenientReader(entry)
    job_id = read.sent.get("jobId")
    if job_id is not None and str(job_id) != external_id:
        raise SourceMismatch(f"jobId: asked for {external_id}, got {str(job_id)[:80]!r}")
    word = _expect(read, "status")
    progress = read.inner("progress")
    counters = {stage: progress(stage, count) for stage in STAGES}
    started, completed = read("startedAt", instant), read("completedAt", instant)
    code, message, of_error = _error(read)
    unknown = extra(read.sent, _JOB_KEYS) or {}
    for key, more in (("progress", extra(progress.sent, frozenset(STAGES))), ("error", of_error)):
        unknown |= {key: more} if more else {}
    fact = JobFact(
        external_id=external_id,
        connector=connector,
        status=JOB_STATUS.get(_normal(word), JobStatus.UNKNOWN),
        upstream_status=word,
        counts=CountsFact(indexed=counters["indexed"]),
        processed=counters["indexed"],
        stages=tuple(StageFact(stage, passed) for stage, passed in counters.items() if passed is not None),
        started_at=started,
        completed_at=completed,
        error_message=message,
        order_at=started or completed or seen_at,
        details=details("ZenSearchJobDetails", _job_details(counters, error_code=code, extra=unknown or None)),
    )
    return fact, read.complaints


def _error(read: LenientReader) -> tuple[str | None, str | None, JsonObject | None]:
    """Code, message, and what else stands in ``error``: an object or a sentence, neither documented."""
    if isinstance(read.sent.get("error"), str):
        return None, read("error", redacted), None
    error = read.inner("error")
    return error("code", text), error("message", redacted), extra(error.sent, frozenset({"code", "message"}))


def inferred(connector: str, last_sync: datetime) -> JobFact:
    """The job that a moved ``lastSync`` gives away: nothing lists a connector's jobs (zensearch.md §6).

    Whether that time is a start, an end, or the end of the last success is not said (§3), so none of them is claimed,
    and neither is an outcome.
    """
    return JobFact(
        external_id=f"{connector}@{zulu(last_sync)}",
        connector=connector,
        status=JobStatus.UNKNOWN,
        order_at=last_sync,
        details=details("ZenSearchJobDetails", _job_details({}, inferred_from=last_sync)),
    )


def is_inferred(job: str, connector: str | None) -> bool:
    """Whether ``job`` is an external id of our own making."""
    return connector is not None and job.startswith(f"{connector}@")


def _job_details(counters: Mapping[str, int | None], **values: object) -> dict[str, object]:
    return {**dict.fromkeys((*STAGES, "error_code", "inferred_from", "extra")), **counters, **values}
