"""What of the example payloads is deliberately not to be had through GraphQL, and why."""

from collections.abc import Mapping

_GAUGE = "a gauge of a whole process that moves with every answer: it would make each idle endpoint look changed"
_PROGRAM = "the SQL program, its user code, or a compiler message that quotes them; connectors' secrets stand in it"
_PAGING = "the upstream's own paging of this answer; the gateway pages and counts by itself"
_ENVELOPE = "of the HTTP answer, not of anything that it tells of"

#: "kind of object: path" (``*`` stands for anything) → reason.
EXCEPTIONS: Mapping[str, str] = {
    "onyx group: current_page": _PAGING,
    "onyx group: total_pages": _PAGING,
    "onyx page: total_items": _PAGING,
    "elastic page: count": _PAGING,
    "elastic *: configuration.*.value": "a secret, where the property is marked as sensitive; shown where it is not",
    "lucidworks data source: password": "a secret",
    "lucidworks idle status: num_*": "counters, all 0, of a crawl that never began: there is no job to have them",
    "feldera endpoint: config.transport.config.sasl.password": "a secret",
    "feldera counters: global_metrics.*_bytes": _GAUGE,
    "feldera counters: global_metrics.*_msecs": _GAUGE,
    "feldera counters: global_metrics.*_records": _GAUGE,
    "feldera counters: global_metrics.*_steps": _GAUGE,
    "feldera counters: global_metrics.storage_mb_secs": _GAUGE,
    "feldera pipeline: program_code": _PROGRAM,
    "feldera pipeline: program_error": _PROGRAM,
    "feldera pipeline: udf_*": _PROGRAM,
    "feldera pipeline: program_info.schema": "tables and views of the whole program; an endpoint names its own one",
    "feldera pipeline: program_info.udf_stubs": _PROGRAM,
    "zensearch answer: meta": _ENVELOPE,
}

_REQUEST = "a request"
_ACTION = "the answer to an action; what has changed is seen by the next poll"
_ERROR = "an error answer: System.lastError tells its sentence; tests/sources reads each of them"
_SET_UP = "credentials and connectors being set up; no poll reads it"
_UNASKED = "no poll asks for it"

#: Example payloads (glob) that no poll reads → reason.
NOT_POLLED: Mapping[str, str] = {
    "**/*.request.json": _REQUEST,
    "**/errors/*.json": _ERROR,
    "openapi/*.json": "a description of an API",
    "onyx/actions/*.response.json": _ACTION,
    "onyx/oauth/*.json": _SET_UP,
    "onyx/setup/*.response.json": _SET_UP,
    "onyx/health/*.json": _UNASKED,
    "onyx/lists/*.json": f"{_UNASKED}: indexing-status tells the same in one answer (onyx.md §2)",
    "onyx/cc_pair/detail.*.json": f"{_UNASKED}: one request per pair, for what the list tells already",
    "onyx/cc_pair/last_pruned.response.json": _UNASKED,
    "onyx/cc_pair/permission_sync_attempts.*.json": f"{_UNASKED}: they move permissions, no content",
    "elastic/root.*.json": f"{_UNASKED}: it tells of the cluster",
    "elastic/connector/delete.response.json": _ACTION,
    "elastic/connector/post.201.response.json": _ACTION,
    "elastic/connector/put.*.response.json": _ACTION,
    "elastic/connector/update_any.*.json": _ACTION,
    "elastic/sync_job/cancel.response.json": _ACTION,
    "elastic/sync_job/delete.response.json": _ACTION,
    "elastic/sync_job/post.201.response.json": _ACTION,
    "lucidworks/**/*schedule.*": f"{_UNASKED}: a schedule tells of no run (lucidworks.md §7)",
    "lucidworks/fusion/v1_history.cumulative.response.json": f"{_UNASKED}: sums over all runs, with ?cumulative=true",
    "feldera/actions/*.json": _ACTION,
    "feldera/health/*.json": _UNASKED,
    "feldera/pipeline_stats/no_connectors.response.json": "a pipeline without connectors: nothing there to tell it of",
    "zensearch/*/connector_create.response.json": _ACTION,
    "zensearch/*/sync_trigger.response.json": _ACTION,
    "zensearch/*/oauth_*.json": _SET_UP,
    "zensearch/*/webhook_*.json": f"{_UNASKED}: webhooks come by themselves, and nobody listens to them yet",
}
