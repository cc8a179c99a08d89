"""The paths of the simulated Elasticsearch, and what answers them (elastic.md §2, §3)."""

from typing import Any

from sources.elastic.simulator import views
from sources.elastic.simulator.checks import Call, Route
from sources.elastic.simulator.documents import Document, api_time
from sources.elastic.simulator.refusals import illegal, invalid, missing
from sources.elastic.simulator.updates import routes as update_routes
from sources.elastic.simulator.world import JOB_MOVES, JOB_TYPES

_WINDOW = 10_000
_CONNECTORS = "/_connector"
_CONNECTOR = "/_connector/{connector:(?!_sync_job$|_secret$)[^/]+}"
_JOBS = "/_connector/_sync_job"
_JOB = "/_connector/_sync_job/{job}"


# ---- the cluster


def _root(call: Call) -> tuple[int, Any]:
    return 200, views.CLUSTER


# ---- connectors


def _list_connectors(call: Call) -> tuple[int, Any]:
    offset, size = call.window(".elastic-connectors-v1")
    found = call.world.connector_list(include_deleted=call.flag("include_deleted"))
    for parameter, key in (("index_name", "index_name"), ("connector_name", "name"), ("service_type", "service_type")):
        if words := call.words(parameter):
            found = [document for document in found if document[key] in words]
    if query := call.query.get("query"):
        found = [document for document in found if _mentions(document, query)]
    return 200, {"count": min(len(found), _WINDOW), "results": found[offset : offset + size]}


def _mentions(document: Document, query: str) -> bool:
    return any(query in (document.get(key) or "") for key in ("index_name", "name", "description"))


def _get_connector(call: Call) -> tuple[int, Any]:
    return 200, call.world.connector(call.ids["connector"], include_deleted=call.flag("include_deleted"))


def _put_connector(call: Call) -> tuple[int, Any]:
    identity, existed = call.world.put_connector(call.body, call.ids.get("connector"))
    return (200, {"result": "updated", "id": identity}) if existed else (201, {"result": "created", "id": identity})


def _delete_connector(call: Call) -> tuple[int, Any]:
    call.world.delete_connector(call.ids["connector"], hard=call.flag("hard"), with_jobs=call.flag("delete_sync_jobs"))
    return 200, {"acknowledged": True}


# ---- sync jobs


def _list_jobs(call: Call) -> tuple[int, Any]:
    offset, size = call.window(".elastic-connectors-sync-jobs-v1")
    status, types = call.query.get("status"), call.words("job_type")
    if status is not None and status not in JOB_MOVES:
        raise illegal(f"Unknown ConnectorSyncStatus [{status}].")
    _known_types(types)
    found = call.world.job_list(status=status, connector=call.query.get("connector_id"), types=types)
    end = len(found) - offset
    newest_first = found[max(0, end - size) : max(0, end)][::-1]
    return 200, {"count": min(len(found), _WINDOW), "results": newest_first}


def _known_types(types: frozenset[str]) -> None:
    for name in sorted(types - set(JOB_TYPES)):
        raise illegal(f"Unknown ConnectorSyncJobType [{name}].")


def _post_job(call: Call) -> tuple[int, Any]:
    identity = call.body.get("id")
    if not identity:
        raise invalid("[id] of the connector cannot be null or empty.")
    job_type, trigger = call.body.get("job_type", "full"), call.body.get("trigger_method", "on_demand")
    _known_types(frozenset({job_type}))
    if trigger not in ("on_demand", "scheduled"):
        raise illegal(f"Unknown ConnectorSyncJobTriggerMethod [{trigger}].")
    connector = call.world.connectors.get(identity)
    if connector is None or connector["deleted"]:
        raise missing(f"Connector with id '{identity}' does not exist.")
    return 201, {"id": call.world.create_job(connector, job_type, trigger)["id"]}


def _get_job(call: Call) -> tuple[int, Any]:
    return 200, call.world.job(call.ids["job"])


def _delete_job(call: Call) -> tuple[int, Any]:
    call.world.delete_job(call.ids["job"])
    return 200, {"acknowledged": True}


def _cancel_job(call: Call) -> tuple[int, Any]:
    call.world.cancel_job(call.world.job(call.ids["job"]))
    return 200, {"result": "updated"}


def _check_in_job(call: Call) -> tuple[int, Any]:
    call.world.job(call.ids["job"])["last_seen"] = api_time(call.world.now)
    return 200, {"result": "updated"}


def _claim_job(call: Call) -> tuple[int, Any]:
    """Whether it refuses a job that already runs is an open question (elastic.md §13): it does not."""
    call.require("worker_hostname")
    job, now = call.world.job(call.ids["job"]), api_time(call.world.now)
    changes = {"started_at": now, "last_seen": now, "worker_hostname": call.body["worker_hostname"]}
    if job["status"] == "in_progress":
        job.update(changes)
    else:
        call.world.move_job(job, "in_progress", **changes)
    if "sync_cursor" in call.body:
        job["connector"] = {**job["connector"], "sync_cursor": call.body["sync_cursor"]}
    return 200, {"result": "updated"}


def _fail_job(call: Call) -> tuple[int, Any]:
    """Sets no ``completed_at`` (elastic.md §6)."""
    call.require("error")
    call.world.move_job(call.world.job(call.ids["job"]), "error", error=call.body["error"])
    return 200, {"result": "updated"}


_COUNTERS = ("deleted_document_count", "indexed_document_count", "indexed_document_volume")


def _count_job(call: Call) -> tuple[int, Any]:
    call.require(*_COUNTERS)
    job = call.world.job(call.ids["job"])
    job.update({"last_seen": api_time(call.world.now), **call.body})
    return 200, {"result": "updated"}


_CONNECTOR_FIELDS = frozenset({"description", "index_name", "is_native", "language", "name", "service_type"})
_PAGING = frozenset({"from", "size"})
_CONNECTOR_FILTERS = _PAGING | {"index_name", "connector_name", "service_type", "query", "include_deleted"}
_JOB_FILTERS = _PAGING | {"status", "connector_id", "job_type"}
_STATS_FIELDS = frozenset({*_COUNTERS, "total_document_count", "last_seen", "metadata"})

ROUTES = (
    Route("GET", "/", _root, None),
    Route("HEAD", "/", _root, None),
    Route("GET", _JOBS, _list_jobs, "sync_job/list", _JOB_FILTERS),
    Route("POST", _JOBS, _post_job, "sync_job/post", fields=frozenset({"id", "job_type", "trigger_method"})),
    Route("GET", _JOB, _get_job, "sync_job/get"),
    Route("DELETE", _JOB, _delete_job, "sync_job/delete"),
    Route("PUT", f"{_JOB}/_cancel", _cancel_job, "sync_job/cancel"),
    Route("PUT", f"{_JOB}/_check_in", _check_in_job, "sync_job/check_in"),
    Route(
        "PUT",
        f"{_JOB}/_claim",
        _claim_job,
        "sync_job/claim",
        fields=frozenset({"worker_hostname", "sync_cursor"}),
    ),
    Route("PUT", f"{_JOB}/_error", _fail_job, "sync_job/update_error", fields=frozenset({"error"})),
    Route("PUT", f"{_JOB}/_stats", _count_job, "sync_job/update_stats", fields=_STATS_FIELDS),
    Route("GET", _CONNECTORS, _list_connectors, "list", _CONNECTOR_FILTERS),
    Route("POST", _CONNECTORS, _put_connector, "post", fields=_CONNECTOR_FIELDS),
    Route("PUT", _CONNECTORS, _put_connector, "put", fields=_CONNECTOR_FIELDS),
    Route("GET", _CONNECTOR, _get_connector, "get", frozenset({"include_deleted"})),
    Route("PUT", _CONNECTOR, _put_connector, "put", fields=_CONNECTOR_FIELDS),
    Route("DELETE", _CONNECTOR, _delete_connector, "delete", frozenset({"delete_sync_jobs", "hard"})),
    *update_routes(_CONNECTOR),
)
