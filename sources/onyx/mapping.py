"""Onyx's words in ours: pure functions from a decoded entry to a fact.

Every function raises SourceMismatch, naming the field, for a value of the wrong kind. An unknown word is no error: it
maps to UNKNOWN and stays readable as ``upstream_status``.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from connectory.model import (
    AccessType,
    ConnectorFact,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    JobType,
    JsonObject,
)
from sources.base import SourceMismatch, count, details, extra, flag, instant, slug, text

FEDERATED = "federated:"

#: ConnectorCredentialPairStatus (onyx.md §4)
CONNECTOR_STATUS: Mapping[str, ConnectorStatus] = {
    "SCHEDULED": ConnectorStatus.SCHEDULED,
    "INITIAL_INDEXING": ConnectorStatus.INITIALIZING,
    "ACTIVE": ConnectorStatus.ACTIVE,
    "PAUSED": ConnectorStatus.PAUSED,
    "INVALID": ConnectorStatus.ERROR,
    "DELETING": ConnectorStatus.DELETING,
}

#: IndexingStatus (onyx.md §4)
JOB_STATUS: Mapping[str, JobStatus] = {
    "not_started": JobStatus.PENDING,
    "in_progress": JobStatus.RUNNING,
    "success": JobStatus.SUCCEEDED,
    "completed_with_errors": JobStatus.SUCCEEDED_WITH_ERRORS,
    "canceled": JobStatus.CANCELED,
    "interrupted": JobStatus.INTERRUPTED,
    "failed": JobStatus.FAILED,
}

ACCESS_TYPE: Mapping[str, AccessType] = {
    "public": AccessType.PUBLIC,
    "private": AccessType.PRIVATE,
    "sync": AccessType.SYNC,
}

JOB_TYPE: Mapping[bool | None, JobType] = {True: JobType.FULL, False: JobType.INCREMENTAL, None: JobType.UNKNOWN}

_PAIR_KEYS = frozenset(
    {
        "cc_pair_id",
        "name",
        "source",
        "access_type",
        "cc_pair_status",
        "in_progress",
        "in_repeated_error_state",
        "last_finished_status",
        "last_status",
        "last_success",
        "is_editable",
        "permissions",
        "docs_indexed",
        "latest_index_attempt_docs_indexed",
    }
)
_FEDERATED_KEYS = frozenset({"id", "source", "name"})
_ATTEMPT_KEYS = frozenset(
    {
        "id",
        "status",
        "from_beginning",
        "new_docs_indexed",
        "total_docs_indexed",
        "docs_removed_from_index",
        "error_msg",
        "error_count",
        "full_exception_trace",
        "time_started",
        "time_updated",
        "poll_range_start",
        "poll_range_end",
    }
)

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")

_T = TypeVar("_T")


def _read(entry: JsonObject, key: str, reader: Callable[[object], _T | None]) -> _T | None:
    """The value under ``key`` as ``reader`` takes it; None when it is absent."""
    try:
        return reader(entry.get(key))
    except SourceMismatch as error:
        raise SourceMismatch(f"{key}: {error}", sample=error.sample) from None


def _demand(entry: JsonObject, key: str, reader: Callable[[object], _T | None]) -> _T:
    value = _read(entry, key, reader)
    if value is None:
        raise SourceMismatch(f"{key}: missing")
    return value


def discreet(value: object) -> str | None:
    """Text without the user and password of URLs that it quotes: Onyx stores what a connector's exception said."""
    said = text(value)
    return _USERINFO.sub("", said) if said else said


def connector(entry: object, *, group_source: str | None = None) -> ConnectorFact:
    """One entry of ``indexing_statuses``. An entry with ``cc_pair_id`` is a cc-pair, any other federated (§3)."""
    if not isinstance(entry, Mapping):
        raise SourceMismatch(f"expected an object, got {type(entry).__name__}")
    return _pair(entry, group_source) if "cc_pair_id" in entry else _federated(entry)


def _pair(entry: JsonObject, group_source: str | None) -> ConnectorFact:
    number = _demand(entry, "cc_pair_id", count)
    source = slug(_read(entry, "source", text) or group_source)
    word = _demand(entry, "cc_pair_status", text)
    access = _read(entry, "access_type", text)
    last, finished = _read(entry, "last_status", text), _read(entry, "last_finished_status", text)
    latest = _read(entry, "latest_index_attempt_docs_indexed", count)
    permissions = _read(entry, "permissions", _permissions)
    unknown = extra(entry, _PAIR_KEYS) or {}
    if access is not None and access not in ACCESS_TYPE:
        unknown["access_type"] = access  # AccessType has no UNKNOWN that could keep the word
    return ConnectorFact(
        external_id=str(number),
        # null up to v3.0 (§9)
        name=(_read(entry, "name", text) or "").strip() or f"{source} {number}",
        source=source,
        status=CONNECTOR_STATUS.get(word, ConnectorStatus.UNKNOWN),
        upstream_status=word,
        access_type=ACCESS_TYPE.get(access or ""),
        in_progress=_read(entry, "in_progress", flag) or False,
        in_repeated_error_state=_read(entry, "in_repeated_error_state", flag),
        is_editable=_read(entry, "is_editable", flag),
        docs_indexed=_read(entry, "docs_indexed", count),
        latest_job_docs_indexed=latest,
        last_job_status=job_status(last),
        last_finished_job_status=job_status(finished),
        last_success_at=_read(entry, "last_success", instant),
        details=details(
            "OnyxConnectorDetails",
            {
                "cc_pair_id": number,
                "cc_pair_status": word,
                "last_status": last,
                "last_finished_status": finished,
                "latest_index_attempt_docs_indexed": latest,
                "permissions": permissions,
                "extra": unknown or None,
            },
        ),
    )


def _permissions(value: object) -> dict[str, bool | None] | None:
    """``{edit, delete, publish}``; absent before v4.7 (§9)."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SourceMismatch(f"expected an object, got {type(value).__name__}")
    return {str(key): flag(allowed) for key, allowed in value.items()}


def _federated(entry: JsonObject) -> ConnectorFact:
    """Queried live and never indexed: no status, no counts (§3). Its number is another space than cc_pair_id."""
    number = _demand(entry, "id", count)
    source = _demand(entry, "source", text)
    return ConnectorFact(
        external_id=f"{FEDERATED}{number}",
        name=(_read(entry, "name", text) or "").strip() or f"{source.replace('_', ' ').title()} {number}",
        source=slug(source.removeprefix("federated_")),
        status=ConnectorStatus.ACTIVE,
        mode=ConnectorMode.FEDERATED,
        details=details(
            "OnyxFederatedDetails",
            {"federated_id": number, "federated_source": source, "extra": extra(entry, _FEDERATED_KEYS)},
        ),
    )


def job_status(word: str | None) -> JobStatus | None:
    """None stays None: nothing was ever attempted."""
    return None if word is None else JOB_STATUS.get(word, JobStatus.UNKNOWN)


def job(item: object, pair: str) -> JobFact:
    """One IndexAttemptSnapshot (§5) of the cc-pair whose external id is ``pair``."""
    if not isinstance(item, Mapping):
        raise SourceMismatch(f"expected an object, got {type(item).__name__}")
    number = _demand(item, "id", count)
    word = _demand(item, "status", text)
    status = JOB_STATUS.get(word, JobStatus.UNKNOWN)
    started, updated = _read(item, "time_started", instant), _read(item, "time_updated", instant)
    order_at = started or updated
    if order_at is None:
        raise SourceMismatch("time_started, time_updated: both missing")
    from_beginning = _read(item, "from_beginning", flag)
    total, new, removed, failed = (
        _read(item, key, count)
        for key in ("total_docs_indexed", "new_docs_indexed", "docs_removed_from_index", "error_count")
    )
    return JobFact(
        external_id=str(number),
        connector=pair,
        status=status,
        upstream_status=word,
        type=JOB_TYPE[from_beginning],
        counts=CountsFact(indexed=total, added=new, deleted=removed, failed=failed),
        processed=total,
        started_at=started,
        completed_at=updated if status.ended else None,
        error_message=_read(item, "error_msg", discreet),
        order_at=order_at,
        sequence=number,
        details=details(
            "OnyxJobDetails",
            {
                "from_beginning": from_beginning,
                "new_docs_indexed": new,
                "total_docs_indexed": total,
                "docs_removed_from_index": removed,
                "error_count": failed,
                "full_exception_trace": _read(item, "full_exception_trace", discreet),
                "poll_range_start": _read(item, "poll_range_start", instant),
                "poll_range_end": _read(item, "poll_range_end", instant),
                "time_updated": updated,
                "extra": extra(item, _ATTEMPT_KEYS),
            },
        ),
    )
