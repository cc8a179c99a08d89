"""The one table of what is kept of connectors and jobs: each column once, with its type and where GraphQL shows it.

From here follow the columns of the store, what a fact fills, what ``changedFields`` of an event names, and what is
read. A new counter is a line in CountsFact, a field of the schema's JobCounts and a migration. Any other new field is a
line in its table here, its attribute in the fact and in the record, a field of the schema and a migration.
``tests/test_fields.py`` finds where they disagree.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from connectory.model.enums import (
    AccessType,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    JobStatus,
    JobTrigger,
    JobType,
)


class CountsFact(NamedTuple):
    """A job's counters; None means that the upstream does not report it.

    Each one is a column of the jobs, a field of JobCounts, and compared for events: all from its line here.
    Fingerprints of jobs rest on the name of the class too.
    """

    indexed: int | None = None
    added: int | None = None
    updated: int | None = None
    deleted: int | None = None
    unchanged: int | None = None
    failed: int | None = None
    access_denied: int | None = None
    filter_denied: int | None = None
    robots_denied: int | None = None
    not_found: int | None = None
    total: int | None = None
    #: bytes
    volume_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class StoredField:
    """One column, and what it has to do with facts, with GraphQL and with events."""

    #: of the column, and of the record's attribute; that of JSON which is decoded when asked for is ``NAME_text``
    name: str
    #: of its values: str, int, float, bool, datetime or an enum of the model
    type: type[Any]
    _: KW_ONLY
    null: bool = True
    #: what a new row holds where nobody says it
    default: bool | int | None = None
    #: a whole number of 32 bits; others have 64
    small: bool = False
    #: the fact's attribute that fills it, with a dot before an attribute of that; None: the engine fills it
    fact: str | None = None
    #: the GraphQL field that shows it, with a dot before a field of that; None: it is ours alone
    shown: str | None = None
    #: whether an event tells a change of it
    compared: bool = False

    @property
    def changed(self) -> str | None:
        """What ``changedFields`` calls a change of it; None when no event tells one."""
        return self.shown.partition(".")[0] if self.shown is not None and self.compared else None


def graphql_name(name: str) -> str:
    """``volume_bytes`` → ``volumeBytes``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _reported(
    name: str,
    type: type[Any],
    *,
    null: bool = True,
    default: bool | None = None,
    fact: str = "",
    shown: str = "",
    is_shown: bool = True,
) -> StoredField:
    """What the upstream says; it stands in the fact and is shown under its own name where no other is given."""
    path = shown or graphql_name(name)
    return StoredField(
        name,
        type,
        null=null,
        default=default,
        fact=fact or name,
        shown=path if is_shown else None,
        compared=is_shown,
    )


CONNECTOR_FIELDS = (
    StoredField("id", str, null=False, shown="id"),
    StoredField("system_id", str, null=False, shown="system"),
    _reported("external_id", str, null=False),
    _reported("url", str),
    _reported("name", str, null=False),
    #: the name, case folded: what names are ordered and searched by
    StoredField("name_key", str, null=False),
    _reported("source", str, null=False),
    _reported("mode", ConnectorMode, null=False),
    _reported("status", ConnectorStatus, null=False),
    _reported("upstream_status", str),
    StoredField("health", ConnectorHealth, null=False, shown="health", compared=True),
    _reported("access_type", AccessType),
    _reported("in_progress", bool, null=False, default=False),
    _reported("in_repeated_error_state", bool),
    _reported("is_editable", bool),
    #: part of the health
    _reported("is_unhealthy", bool, null=False, default=False, is_shown=False),
    _reported("docs_indexed", int),
    _reported("latest_job_docs_indexed", int),
    _reported("last_job_status", JobStatus),
    _reported("last_finished_job_status", JobStatus),
    _reported("last_success_at", datetime),
    _reported("last_sync_at", datetime),
    _reported("created_at", datetime),
    _reported("updated_at", datetime),
    _reported("error_message", str),
    #: the GraphQL type of the details, and its fields as JSON
    StoredField("details_type", str),
    StoredField("details", str, shown="details", compared=True),
    StoredField("latest_job_id", str, shown="latestJob", compared=True),
    StoredField("removed_at", datetime, shown="removedAt", compared=True),
    #: set while it is missing from answers: when it was last seen; otherwise the system's own time holds
    StoredField("observed_at", datetime, shown="observedAt"),
    #: consecutive complete answers without it
    StoredField("missed_polls", int, null=False, default=0, small=True),
    #: of the fact; null while something of it is owed
    StoredField("fingerprint", str),
    StoredField("history_read", bool, null=False, default=False),
    #: when we saw it enter its present status; null: not seen to change
    StoredField("status_since", datetime),
    #: when we saw it first
    StoredField("first_seen_at", datetime),
    #: since when we see it hold back its pipeline's checkpoint; null: it does not
    StoredField("blocks_since", datetime),
    #: its worker's sign of life, and when we saw that move; null: not seen to move
    StoredField("worker_seen_at", datetime),
    StoredField("worker_moved_at", datetime),
    #: totals as they were read last
    StoredField("parse_errors", int),
    StoredField("transport_errors", int),
)

#: Counter → its column: another one where a name alone would say too little.
_RENAMED = {"total": "counted_total"}
COUNTER_COLUMNS: Mapping[str, str] = {counter: _RENAMED.get(counter, counter) for counter in CountsFact._fields}
COUNTER_FIELDS = tuple(
    _reported(column, int, fact=f"counts.{counter}", shown=f"counts.{graphql_name(counter)}")
    for counter, column in COUNTER_COLUMNS.items()
)

JOB_FIELDS = (
    StoredField("id", str, null=False, shown="id"),
    StoredField("system_id", str, null=False, shown="system"),
    _reported("external_id", str, null=False),
    StoredField("connector_id", str, shown="connector"),
    _reported("source", str, is_shown=False),
    _reported("status", JobStatus, null=False),
    _reported("upstream_status", str),
    _reported("type", JobType, null=False),
    _reported("trigger", JobTrigger, null=False),
    StoredField("is_open", bool, null=False, default=False),
    *COUNTER_FIELDS,
    _reported("processed", int, shown="progress.processed"),
    _reported("expected_total", int, fact="total", shown="progress.total"),
    #: as JSON
    StoredField("stages", str, shown="progress.stages", compared=True),
    _reported("docs_in_index", int, is_shown=False),
    _reported("created_at", datetime),
    _reported("started_at", datetime),
    _reported("completed_at", datetime),
    _reported("cancel_requested_at", datetime),
    _reported("canceled_at", datetime),
    _reported("last_seen_at", datetime),
    _reported("error_message", str),
    _reported("worker_hostname", str),
    #: the GraphQL type of the details, and its fields as JSON
    StoredField("details_type", str),
    StoredField("details", str, shown="details", compared=True),
    #: microseconds since 1970: where it stands among the jobs
    StoredField("created_order", int, null=False),
    _reported("sequence", int, is_shown=False),
    #: set once it is no longer read: when it was last seen; otherwise the system's own time holds
    StoredField("observed_at", datetime, shown="observedAt"),
    StoredField("fingerprint", str),
    #: when its upstream was found to tell of it no longer, though it had not ended; null again once it does
    StoredField("vanished_at", datetime, shown="vanishedAt", compared=True),
    #: it has ended and nobody has taken the closer look yet
    StoredField("examine_due", bool, null=False, default=False),
    #: of late, while it runs, as of ``counted_at``
    StoredField("rate_per_second", float, shown="progress.ratePerSecond"),
    StoredField("counted_at", datetime),
    #: what past runs of its connector and type let expect, and how many they were
    StoredField("expected_seconds", float),
    StoredField("expected_processed", int),
    StoredField("expected_runs", int, small=True, shown="progress.pastRuns"),
    #: the longest time, in seconds, that we watched it run without a counter moving
    StoredField("longest_quiet", float),
    #: when we saw a counter move or its status turn, or saw it first; null: it had ended then
    StoredField("moved_at", datetime),
    #: of a stream: since when we see it hold records that it has not processed; null: it holds none
    StoredField("waiting_since", datetime),
)
