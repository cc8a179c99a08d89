"""The paths of the simulated ZenSearch, below /v1/connectors and /api/v1/connectors, and what answers them
(zensearch.md §2)."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sources.zensearch.simulator import views
from sources.zensearch.simulator.checks import Refused, answer, body_of, world_of
from sources.zensearch.simulator.views import MANNERS
from sources.zensearch.simulator.world import PROFILES, Connector

#: The documented strings, and our guesses at the other nine (zensearch.md §3.1).
# fmt: off
TYPES = frozenset({
    "s3", "google_drive", "confluence", "github", "slack", "notion", "salesforce", "postgresql", "sharepoint",
    "azure_blob", "jira", "hubspot", "sap", "mysql", "clickhouse", "mssql", "web_crawler",
})
# fmt: on
DATABASES = frozenset({"postgresql", "mysql", "clickhouse", "mssql"})
MODES = frozenset({"auto", "full", "incremental"})


def _connector(request: web.Request) -> Connector:
    found = world_of(request).connectors.get(request.match_info["connector"])
    if found is None:
        raise Refused(404, "not_found", "Connector not found")
    return found


async def _list(request: web.Request) -> web.Response:
    """By creation, newest last. Query parameters are ignored: none is documented."""
    return answer(request, [views.connector(connector) for connector in world_of(request).connectors.values()])


async def _one(request: web.Request) -> web.Response:
    return answer(request, views.connector(_connector(request), with_config=True))


async def _create(request: web.Request) -> web.Response:
    form, world = await body_of(request), world_of(request)
    for key in ("name", "type", "collection", "config"):
        if form.get(key) in (None, ""):
            raise Refused(400, "invalid_request", f"Missing required parameter: {key}", details={"parameter": key})
    if form["type"] not in TYPES:
        message = f"Unknown connector type: {form['type']}"
        raise Refused(400, "invalid_request", message, details={"parameter": "type"})
    made = Connector(
        world.next_id("conn"), form["name"], form["type"], form["collection"], world.now, config=dict(form["config"])
    )
    if made.type in DATABASES:
        made.profile = PROFILES["database"]
    return answer(request, views.connector(world.add_connector(made)), 201)


async def _update(request: web.Request) -> web.Response:
    """``config`` is merged shallowly; credentials are taken and never shown."""
    form, connector = await body_of(request), _connector(request)
    connector.name = form.get("name", connector.name)
    connector.collection = form.get("collection", connector.collection)
    connector.config = {**connector.config, **form.get("config", {})}
    return answer(request, views.connector(connector, with_config=True))


async def _delete(request: web.Request) -> web.Response:
    connector = _connector(request)
    world_of(request).delete(connector)
    if request.app[MANNERS].delete_has_body:
        return answer(request, {"id": connector.id, "deleted": True})
    return web.Response(status=204)


async def _trigger(request: web.Request) -> web.Response:
    form, connector, manners = await body_of(request), _connector(request), request.app[MANNERS]
    mode = form.get("sync_mode", "full" if form.get("force_full_sync") else "auto")
    if mode not in MODES:
        raise Refused(400, "invalid_request", f"Unknown sync mode: {mode}", details={"parameter": "sync_mode"})
    running = connector.open_job
    if running is not None and not manners.second_trigger_joins:
        raise Refused(409, "conflict", "A sync is already running for this connector")
    files = form.get("file_filter")
    job = running or world_of(request).start(connector, mode, len(files) if files else None)
    return answer(request, views.triggered(job, manners), manners.trigger_status)


async def _job(request: web.Request) -> web.Response:
    connector = _connector(request)
    for job in connector.jobs:
        if job.id == request.match_info["job"]:
            return answer(request, views.job(job, request.app[MANNERS]))
    raise Refused(404, "not_found", "Sync job not found")


async def _authorize(request: web.Request) -> web.Response:
    kind = request.match_info["type"]
    url = f"https://accounts.example.com/{kind}/authorize?client_id=example&response_type=code&state=opaque"
    return answer(request, {"authUrl": url})


ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[Any]]], ...] = (
    ("GET", "", _list),
    ("POST", "", _create),
    ("GET", "/oauth/{type}/authorize", _authorize),
    ("GET", "/{connector}", _one),
    ("PUT", "/{connector}", _update),
    ("DELETE", "/{connector}", _delete),
    ("POST", "/{connector}/sync", _trigger),
    ("GET", "/{connector}/sync/{job}", _job),
)
