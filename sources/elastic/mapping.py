"""From Elastic's documents to facts: pure functions (elastic.md §4, §5, §6).

The server hands out stored documents unchanged, so any key may be missing, null, or unknown. Unknown keys are kept in
``extra``; unknown words become UNKNOWN beside the word itself; a value of the wrong type raises SourceMismatch.
Secrets are taken out here and go no further.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    JobTrigger,
    JobType,
)
from connectory.redaction import SECRET_KEY, without_secrets
from sources.base import SourceMismatch
from sources.elastic.scheduling import is_unscheduled, longest_distance
from sources.reading import Reader, count, details, extra, flag, instant, slug, text

CONNECTOR_STATUS = {
    "created": ConnectorStatus.NEEDS_CONFIGURATION,
    "needs_configuration": ConnectorStatus.NEEDS_CONFIGURATION,
    "configured": ConnectorStatus.SCHEDULED,
    "connected": ConnectorStatus.ACTIVE,
    "error": ConnectorStatus.ERROR,
}
JOB_STATUS = {
    "pending": JobStatus.PENDING,
    "in_progress": JobStatus.RUNNING,
    "suspended": JobStatus.SUSPENDED,
    "canceling": JobStatus.CANCELING,
    "completed": JobStatus.SUCCEEDED,
    "error": JobStatus.FAILED,
    "canceled": JobStatus.CANCELED,
}
JOB_TYPE = {
    "full": JobType.FULL,
    "incremental": JobType.INCREMENTAL,
    "access_control": JobType.ACCESS_CONTROL,
}
JOB_TRIGGER = {"on_demand": JobTrigger.ON_DEMAND, "scheduled": JobTrigger.SCHEDULED}
#: The words for a job that may still change, as the ``status`` filter takes them: one per request (elastic.md §3).
#: Those of jobs at work come first.
OPEN_WORDS = ("in_progress", "canceling", "pending", "suspended")

_MEBIBYTE = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: How a value is read.
Kind = Callable[[Any], Any]


def configuration(value: object) -> Any:
    """A connector's settings without the values of sensitive properties (elastic.md §5, §12).

    A property that lacks the ``sensitive`` flag is judged by its name. Values of another shape than the documented map
    lose whatever stands under a secret-looking name.
    """
    if not isinstance(value, Mapping):
        return without_secrets(value)
    return {name: _property(name, entry) for name, entry in value.items()}


def _property(name: str, entry: object) -> Any:
    if not isinstance(entry, Mapping):
        return without_secrets(entry, name)
    sensitive = entry.get("sensitive")
    if sensitive is None:
        sensitive = SECRET_KEY.search(name) is not None
    if sensitive is not False:
        return {key: value for key, value in entry.items() if key not in ("value", "default_value")}
    return {key: without_secrets(value) for key, value in entry.items()}


#: Fields of ElasticConnectorDetails, by the key of the document that each comes from.
CONNECTOR_DETAILS: dict[str, Kind] = {
    "index_name": text,
    "service_type": text,
    "language": text,
    "description": text,
    "is_native": lambda value: flag(value) or False,
    "deleted": flag,
    "sync_now": flag,
    "last_seen": instant,
    "last_synced": instant,
    "last_sync_status": text,
    "last_sync_error": text,
    "last_sync_scheduled_at": instant,
    "last_incremental_sync_scheduled_at": instant,
    "last_access_control_sync_status": text,
    "last_access_control_sync_error": text,
    "last_access_control_sync_scheduled_at": instant,
    "last_indexed_document_count": count,
    "last_deleted_document_count": count,
    "scheduling": without_secrets,
    "custom_scheduling": without_secrets,
    "configuration": configuration,
    "filtering": without_secrets,
    "features": without_secrets,
    "pipeline": without_secrets,
    "sync_cursor": without_secrets,
    "api_key_id": text,
}
_CONNECTOR_KEYS = frozenset(CONNECTOR_DETAILS) | {"id", "name", "status", "error", "api_key_secret_id"}

#: Fields of ElasticJobDetails that stand in the job itself …
JOB_DETAILS: dict[str, Kind] = {
    "job_type": lambda value: text(value) or "unknown",
    "trigger_method": lambda value: text(value) or "unknown",
    "indexed_document_volume": count,
    "total_document_count": count,
    "metadata": lambda value: {} if value is None else without_secrets(value),
}
_JOB_KEYS = frozenset(JOB_DETAILS) | {
    "id",
    "status",
    "connector",
    "created_at",
    "started_at",
    "completed_at",
    "cancelation_requested_at",
    "canceled_at",
    "last_seen",
    "error",
    "worker_hostname",
    "indexed_document_count",
    "deleted_document_count",
}
#: … and in its snapshot of the connector.
SNAPSHOT_DETAILS: dict[str, Kind] = {
    "index_name": text,
    "service_type": text,
    "language": text,
    "pipeline": without_secrets,
    "filtering": without_secrets,
    "sync_cursor": without_secrets,
    "configuration": configuration,
}
_SNAPSHOT_KEYS = frozenset(SNAPSHOT_DETAILS) | {"id", "api_key_secret_id"}


def connector_fact(sent: object) -> ConnectorFact:
    """One entry of ``GET /_connector`` (elastic.md §5). Raises SourceMismatch."""
    read = Reader(sent)
    external_id = read.demand("id", _identity)
    word = read("status", text)
    values = _values(read, CONNECTOR_DETAILS)
    scheduling = read.sent.get("scheduling")
    return ConnectorFact(
        external_id=external_id,
        name=read("name", text) or values["index_name"] or external_id,
        source=slug(values["service_type"]),
        status=CONNECTOR_STATUS.get(word or "", ConnectorStatus.UNKNOWN),
        upstream_status=word,
        last_sync_at=values["last_synced"],
        error_message=read("error", text),
        is_removed=values["deleted"] is True,
        # the only sign whether a worker exists (elastic.md §5)
        worker_seen_at=values["last_seen"],
        schedule_seconds=longest_distance(scheduling),
        is_unscheduled=is_unscheduled(scheduling),
        details=details("ElasticConnectorDetails", {**values, "extra": extra(read.sent, _CONNECTOR_KEYS)}),
    )


def job_fact(sent: object) -> JobFact:
    """One entry of ``GET /_connector/_sync_job`` (elastic.md §4). Raises SourceMismatch.

    ``total_document_count`` counts the documents of the target index, so it is nobody's expected total; it tells the
    size of the content index only at the good end of a job that moves content.
    """
    read = Reader(sent)
    snapshot = Reader(read.sent.get("connector") or {})
    word = read("status", text)
    status = JOB_STATUS.get(word or "", JobStatus.UNKNOWN)
    values = _values(read, JOB_DETAILS)
    job_type = JOB_TYPE.get(values["job_type"], JobType.UNKNOWN)
    counts = _counts(read, values["indexed_document_volume"])
    times = {key: read(key, instant) for key in ("created_at", "started_at", "completed_at", "last_seen")}
    moves_content = job_type is not JobType.ACCESS_CONTROL
    return JobFact(
        external_id=read.demand("id", _identity),
        connector=snapshot("id", text),
        source=slug(snapshot("service_type", text)),
        status=status,
        upstream_status=word,
        type=job_type,
        trigger=JOB_TRIGGER.get(values["trigger_method"], JobTrigger.UNKNOWN),
        counts=counts,
        processed=_processed(counts),
        created_at=times["created_at"],
        started_at=times["started_at"],
        completed_at=times["completed_at"],
        cancel_requested_at=read("cancelation_requested_at", instant),
        canceled_at=read("canceled_at", instant),
        last_seen_at=times["last_seen"],
        error_message=read("error", text),
        worker_hostname=read("worker_hostname", text),
        docs_in_index=values["total_document_count"] if status is JobStatus.SUCCEEDED and moves_content else None,
        order_at=times["created_at"] or times["started_at"] or times["last_seen"] or _EPOCH,
        details=details("ElasticJobDetails", values | _snapshot_details(snapshot, read)),
    )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A job that was served and not understood, with what stood where it should."""

    #: its id, cut to 80 characters
    name: str | None
    connector: str | None
    reason: str


def read_job(sent: object) -> JobFact | Unreadable:
    try:
        return job_fact(sent)
    except SourceMismatch as mismatch:
        snapshot = sent.get("connector") if isinstance(sent, Mapping) else None
        identity = snapshot.get("id") if isinstance(snapshot, Mapping) else None
        return Unreadable(named(sent), identity if isinstance(identity, str) else None, str(mismatch))


def named(sent: object) -> str | None:
    """The id of an entry that could not be read, cut to 80 characters; None when even that is missing."""
    identity = sent.get("id") if isinstance(sent, Mapping) else None
    return (text(identity) or "")[:80] if isinstance(identity, str) and identity else None


def _identity(value: object) -> str | None:
    return text(value) or None


def _values(read: Reader, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    return {key: read(key, kind) for key, kind in kinds.items()}


def _counts(read: Reader, mebibytes: int | None) -> CountsFact:
    return CountsFact(
        indexed=read("indexed_document_count", count),
        deleted=read("deleted_document_count", count),
        volume_bytes=None if mebibytes is None else count(mebibytes * _MEBIBYTE),
    )


def _processed(counts: CountsFact) -> int | None:
    return None if counts.indexed is None else count(counts.indexed + (counts.deleted or 0))


def _snapshot_details(snapshot: Reader, job: Reader) -> dict[str, Any]:
    values = _values(snapshot, SNAPSHOT_DETAILS)
    values["extra"] = extra(job.sent, _JOB_KEYS)
    unknown = extra(snapshot.sent, _SNAPSHOT_KEYS)
    return values if unknown is None else {**values, "connector_extra": unknown}
