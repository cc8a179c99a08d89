"""The paths of the simulated Onyx, and what answers them (onyx.md §2)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, Field

from sources.onyx.simulator import actions, views
from sources.onyx.simulator.checks import (
    NOT_FOUND_FOR_USER,
    body_of,
    hidden,
    pair_of,
    refusal,
    status_response,
    world_of,
)
from sources.onyx.simulator.listing import Form, federated_entry, listing, zulu
from sources.onyx.simulator.pairs import Attempt

VERSION = "v4.7.0"

_T = TypeVar("_T")


class _Page(BaseModel):
    page_num: int = Field(0, ge=0)
    page_size: int = Field(10, ge=1, le=1000)


class _ErrorPage(_Page):
    page_size: int = Field(10, ge=1, le=100)
    include_resolved: bool = False


async def _list(request: web.Request) -> web.Response:
    return web.json_response(listing(world_of(request), await body_of(request, Form)))


async def _detail_of_pair(request: web.Request) -> web.Response:
    pair = pair_of(request)
    if pair is None:
        return refusal(404, NOT_FOUND_FOR_USER, "NOT_FOUND")
    return web.json_response(views.detail(world_of(request), pair))


async def _attempts(request: web.Request) -> web.Response:
    page = _Page.model_validate(dict(request.query))
    pair = pair_of(request)
    if pair is None:
        return hidden()
    return _slice(views.attempts(pair), page, views.attempt)


async def _errors(request: web.Request) -> web.Response:
    page = _ErrorPage.model_validate(dict(request.query))
    pair = pair_of(request)
    if pair is None:
        return hidden()
    rows = [
        (run, row)
        for run in reversed(pair.attempts)
        for row in reversed(run.failures)
        if page.include_resolved or not row.resolved
    ]
    return _slice(rows, page, lambda found: views.failure(pair, *found))


def _slice(rows: Sequence[_T], page: _Page, view: Callable[[_T], dict[str, Any]]) -> web.Response:
    first = page.page_num * page.page_size
    items = [view(row) for row in rows[first : first + page.page_size]]
    return web.json_response({"items": items, "total_items": len(rows)})


async def _last_pruned(request: web.Request) -> web.Response:
    pair = pair_of(request)
    return web.json_response(zulu(pair.last_pruned)) if pair else hidden()


async def _stage_metrics(request: web.Request) -> web.Response:
    run: Attempt | None = world_of(request).attempts.get(int(request.match_info["attempt"]))
    if run is None:
        return refusal(404, "Index attempt not found", "NOT_FOUND")
    return web.json_response(views.stage_metrics(run))


async def _connector_status(request: web.Request) -> web.Response:
    world = world_of(request)
    rows: list[dict[str, Any]] = [
        {
            "cc_pair_id": pair.id,
            "name": pair.name,
            "connector": views.connector(world, pair),
            "credential": views.credential(pair),
            "access_type": pair.access_type,
            "groups": [],
        }
        for pair in world.visible
    ]
    return web.json_response(rows)


async def _connectors(request: web.Request) -> web.Response:
    world = world_of(request)
    return web.json_response([views.connector(world, pair) for pair in world.visible])


async def _failed(request: web.Request) -> web.Response:
    rows = (views.failed(pair) for pair in world_of(request).visible)
    return web.json_response([row for row in rows if row is not None])


async def _basic_status(request: web.Request) -> web.Response:
    rows: list[dict[str, Any]] = [
        {"has_successful_run": pair.success is not None, "source": pair.source, "status": pair.status}
        for pair in world_of(request).visible
    ]
    return web.json_response(rows)


async def _sources(request: web.Request) -> web.Response:
    return web.json_response({"sources": sorted({pair.source for pair in world_of(request).visible})})


async def _federated(request: web.Request) -> web.Response:
    return web.json_response([federated_entry(connector) for connector in world_of(request).federated])


async def _health(_: web.Request) -> web.Response:
    return status_response("ok", None)


async def _version(_: web.Request) -> web.Response:
    return web.json_response({"backend_version": VERSION})


_ADMIN = "/api/manage/admin"
_ONE = _ADMIN + r"/cc-pair/{pair:\d+}"
ROUTES = (
    web.post(f"{_ADMIN}/connector/indexing-status", _list),
    web.get(_ONE, _detail_of_pair),
    web.get(f"{_ONE}/index-attempts", _attempts),
    web.get(f"{_ONE}/errors", _errors),
    web.get(f"{_ONE}/last_pruned", _last_pruned),
    web.post(f"{_ONE}/prune", actions.prune),
    web.put(f"{_ONE}/status", actions.set_status),
    web.put(f"{_ONE}/name", actions.rename),
    web.put(f"{_ONE}/property", actions.set_property),
    web.get(_ADMIN + r"/index-attempt/{attempt:\d+}/stage-metrics", _stage_metrics),
    web.get(f"{_ADMIN}/connector/status", _connector_status),
    web.get(f"{_ADMIN}/connector/failed-indexing-status", _failed),
    web.post(f"{_ADMIN}/connector/run-once", actions.run_once),
    web.post(f"{_ADMIN}/deletion-attempt", actions.delete),
    web.get(f"{_ADMIN}/connector", _connectors),
    web.get("/api/manage/connector", _connectors),
    web.get("/api/manage/connector-status", _basic_status),
    web.get("/api/manage/indexed-sources", _sources),
    web.get("/api/federated", _federated),
    web.get("/api/health", _health),
    web.get("/api/health/ready", _health),
    web.get("/api/version", _version),
)
