"""Onyx's words in ours: pure functions from a decoded entry to a fact.

Every function raises SourceMismatch, naming the field, for a value of the wrong kind. An unknown word is no error: it
maps to UNKNOWN and stays readable as ``upstream_status``.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from connectory.model import (
    AccessType,
    ConnectorFact,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    Details,
    JobFact,
    JobStatus,
    JobType,
    Problem,
    SystemErrorCode,
)
from connectory.redaction import QUOTED
from sources.base import SourceMismatch
from sources.reading import Reader, count, details, extra, flag, instant, json_object, readable, slug, text

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

#: Onyx stores what a connector's exception said.
redacted = QUOTED.text


async def connectors(groups: Iterable[object]) -> tuple[dict[str, ConnectorFact], list[Problem]]:
    """All readable entries of the list's groups by external id, and a problem for each unreadable one.

    Up to v4.6 a curator sees a pair twice; the editable row is kept (onyx.md §8.8).
    """
    facts: dict[str, ConnectorFact] = {}
    problems: list[Problem] = []
    for group in groups:
        entries = group.get("indexing_statuses") if isinstance(group, Mapping) else None
        if not isinstance(group, Mapping) or not isinstance(entries, list):
            problems.append(Problem(SystemErrorCode.MISMATCH, "a group of the list has no indexing_statuses"))
            continue
        source = group["source"] if isinstance(group.get("source"), str) else None
        async for fact in readable(entries, partial(connector, group_source=source), problems, named=_entry_name):
            if fact.external_id not in facts or (fact.is_editable and not facts[fact.external_id].is_editable):
                facts[fact.external_id] = fact
    return facts, problems


def _entry_name(_: int, entry: object) -> str:
    number = entry.get("cc_pair_id") if isinstance(entry, Mapping) else None
    return f"{f'cc-pair {number}' if isinstance(number, int) else 'an entry'} in the list"


def connector(entry: object, *, group_source: str | None = None) -> ConnectorFact:
    """One entry of ``indexing_statuses``. An entry with ``cc_pair_id`` is a cc-pair, any other federated (§3)."""
    read = Reader(entry)
    return _pair(read, group_source) if "cc_pair_id" in read.sent else _federated(read)


def _pair(read: Reader, group_source: str | None) -> ConnectorFact:
    number = read.demand("cc_pair_id", count)
    source = slug(read("source", text) or group_source)
    word = read.demand("cc_pair_status", text)
    access = read("access_type", text)
    last, finished = read("last_status", text), read("last_finished_status", text)
    latest = read("latest_index_attempt_docs_indexed", count)
    permissions = read("permissions", _permissions)
    unknown = extra(read.sent, _PAIR_KEYS) or {}
    if access is not None and access not in ACCESS_TYPE:
        unknown["access_type"] = access  # AccessType has no UNKNOWN that could keep the word
    return ConnectorFact(
        external_id=str(number),
        # null up to v3.0 (§9)
        name=(read("name", text) or "").strip() or f"{source} {number}",
        source=source,
        status=CONNECTOR_STATUS.get(word, ConnectorStatus.UNKNOWN),
        upstream_status=word,
        access_type=ACCESS_TYPE.get(access or ""),
        in_progress=read("in_progress", flag) or False,
        in_repeated_error_state=read("in_repeated_error_state", flag),
        is_editable=read("is_editable", flag),
        docs_indexed=read("docs_indexed", count),
        latest_job_docs_indexed=latest,
        last_job_status=job_status(last),
        last_finished_job_status=job_status(finished),
        last_success_at=read("last_success", instant),
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
    permissions = json_object(value)
    return None if permissions is None else {key: flag(allowed) for key, allowed in permissions.items()}


def _federated(read: Reader) -> ConnectorFact:
    """Queried live and never indexed: no status, no counts (§3). Its number is another space than cc_pair_id."""
    number = read.demand("id", count)
    source = read.demand("source", text)
    return ConnectorFact(
        external_id=f"{FEDERATED}{number}",
        name=(read("name", text) or "").strip() or f"{source.replace('_', ' ').title()} {number}",
        source=slug(source.removeprefix("federated_")),
        status=ConnectorStatus.ACTIVE,
        mode=ConnectorMode.FEDERATED,
        details=details(
            "OnyxFederatedDetails",
            {"federated_id": number, "federated_source": source, "extra": extra(read.sent, _FEDERATED_KEYS)},
        ),
    )


def job_status(word: str | None) -> JobStatus | None:
    """None stays None: nothing was ever attempted."""
    return None if word is None else JOB_STATUS.get(word, JobStatus.UNKNOWN)


async def jobs(items: Sequence[object], pair: str) -> tuple[list[JobFact], list[Problem]]:
    """The readable attempts of a page, newest first, and a problem for each unreadable one."""

    def name(_: int, item: object) -> str:
        return f"index attempt {item.get('id') if isinstance(item, Mapping) else None} of cc-pair {pair}"

    problems: list[Problem] = []
    facts = [fact async for fact in readable(items, partial(job, pair=pair), problems, named=name)]
    return sorted(facts, key=lambda fact: fact.sequence or 0, reverse=True), problems


def job(item: object, pair: str) -> JobFact:
    """One IndexAttemptSnapshot (§5) of the cc-pair whose external id is ``pair``."""
    read = Reader(item)
    number = read.demand("id", count)
    word = read.demand("status", text)
    status = JOB_STATUS.get(word, JobStatus.UNKNOWN)
    started, updated = read("time_started", instant), read("time_updated", instant)
    order_at = started or updated
    if order_at is None:
        raise SourceMismatch("time_started, time_updated: both missing")
    from_beginning = read("from_beginning", flag)
    total, new, removed, failed = (
        read(key, count) for key in ("total_docs_indexed", "new_docs_indexed", "docs_removed_from_index", "error_count")
    )
    counts = CountsFact(indexed=total, added=new, deleted=removed, failed=failed)
    return JobFact(
        external_id=str(number),
        connector=pair,
        status=status,
        upstream_status=word,
        type=JOB_TYPE[from_beginning],
        counts=counts,
        processed=total,
        started_at=started,
        completed_at=updated if status.ended else None,
        error_message=read("error_msg", redacted),
        order_at=order_at,
        sequence=number,
        details=_job_details(read, counts),
    )


def _job_details(read: Reader, counts: CountsFact) -> Details:
    return details(
        "OnyxJobDetails",
        {
            "from_beginning": read("from_beginning", flag),
            "new_docs_indexed": counts.added,
            "total_docs_indexed": counts.indexed,
            "docs_removed_from_index": counts.deleted,
            "error_count": counts.failed,
            "full_exception_trace": read("full_exception_trace", redacted),
            "poll_range_start": read("poll_range_start", instant),
            "poll_range_end": read("poll_range_end", instant),
            "time_updated": read("time_updated", instant),
            "extra": extra(read.sent, _ATTEMPT_KEYS),
        },
    )
