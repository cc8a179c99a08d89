"""A simulated Elasticsearch with its connector and sync job API, over a world that moves by itself (elastic.md §2, §3).

``API_KEY`` opens it as an API key, ``USERNAME`` with ``PASSWORD`` as Basic, ``TOKEN`` as Bearer; ``LIMITED_API_KEY`` is
known and lacks every privilege. The documents stand in ``app[WORLD].connectors`` and ``.jobs``.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sources.elastic.simulator.checks import (
    API_KEY,
    LIMITED_API_KEY,
    PASSWORD,
    TOKEN,
    USERNAME,
    Call,
    Route,
    answer,
    refused,
)
from sources.elastic.simulator.documents import Document, api_time
from sources.elastic.simulator.refusals import (
    Refusal,
    illegal,
    invalid,
    missing,
    no_handler,
    rejected,
    wrong_credentials,
)
from sources.elastic.simulator.refusals import wrong_method as refuse_method
from sources.elastic.simulator.updates import routes as update_routes
from sources.elastic.simulator.worker import Worker
from sources.elastic.simulator.world import JOB_MOVES, JOB_TYPES, ElasticWorld
from sources.simulation import Clock, simulator_app

__all__ = ["API_KEY", "LIMITED_API_KEY", "PASSWORD", "TOKEN", "USERNAME", "settings", "simulator"]

_WINDOW = 10_000
#: Worlds with more connectors than this stand still but for some of them.
_SMALL = 200
_BUSY_OF_MANY = 50
_CONNECTORS = "/_connector"
_CONNECTOR = "/_connector/{connector:(?!_sync_job$|_secret$)[^/]+}"
_JOBS = "/_connector/_sync_job"
_JOB = "/_connector/_sync_job/{job}"


def settings(url: str) -> dict[str, Any]:
    """The configuration keys that open it where it is served at ``url``."""
    return {"url": url, "api_key": API_KEY}


def simulator(
    *, seed: int = 0, clock: Clock, connectors: int = 24, jobs_per_connector: int = 6, busy: int | None = None
) -> web.Application:
    """``busy`` is how many connectors run jobs; by default all of a small world and fifty of a large one."""
    world = ElasticWorld(seed=seed, start=clock.start)
    if busy is None:
        busy = connectors if connectors <= _SMALL else _BUSY_OF_MANY
    Worker(world).populate(connectors, jobs_per_connector, busy)
    app = simulator_app(
        world,
        clock,
        rejection=lambda request: refused(request, wrong_credentials()),
        limited=lambda: web.json_response(rejected().body, status=429, headers={"X-Elastic-Product": "Elasticsearch"}),
    )
    app.middlewares.append(_refusing)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _serving(route, world))
    return app


def _serving(route: Route, world: ElasticWorld) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return await answer(route, world, request)

    return handler


@web.middleware
async def _refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refused(request, refusal)
    except web.HTTPNotFound:
        return refused(request, no_handler(request.path_qs, request.method))
    except web.HTTPMethodNotAllowed as error:
        return refused(request, refuse_method(request.path_qs, request.method, sorted(error.allowed_methods)))


# ---- the cluster


def _root(call: Call) -> tuple[int, Any]:
    return 200, {
        "name": "node-1",
        "cluster_name": "demo",
        "cluster_uuid": "6vYxQ3m1T5aK2u8b0cD4eF",
        "version": {
            "number": "9.1.2",
            "build_flavor": "default",
            "build_type": "docker",
            "build_hash": "0" * 40,
            "build_date": "2026-07-01T00:00:00.000000000Z",
            "build_snapshot": False,
            "lucene_version": "10.2.2",
            "minimum_wire_compatibility_version": "8.19.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "You Know, for Search",
    }


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
