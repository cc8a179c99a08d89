"""The paths of the simulated Fusion (lucidworks.md §11). The answers to actions are assumed: no page tells them."""

from typing import Any

from aiohttp import web

from sources.lucidworks.simulator import fusion_views
from sources.lucidworks.simulator.checks import Refused, body_of, world_of
from sources.lucidworks.simulator.crawls import DataSource
from sources.lucidworks.simulator.views import Build


def refusal(status: int, message: str) -> web.Response:
    return web.json_response({"httpStatusCode": status, "message": message}, status=status)


def _source_of(request: web.Request) -> DataSource:
    key = request.match_info["key"].removeprefix("datasource:")
    source = next((source for source in world_of(request).sources.values() if source.key == key), None)
    if source is None:
        raise Refused(refusal(404, f"{key} was not found"))
    return source


async def _sources(request: web.Request) -> web.Response:
    wanted = request.query.get("collection")
    sources = world_of(request).sources.values()
    return web.json_response(
        [fusion_views.data_source(source) for source in sources if wanted in (None, source.collection)]
    )


async def _source(request: web.Request) -> web.Response:
    return web.json_response(fusion_views.data_source(_source_of(request)))


async def _jobs(request: web.Request) -> web.Response:
    return web.json_response([fusion_views.job(source) for source in world_of(request).sources.values()])


async def _job(request: web.Request) -> web.Response:
    return web.json_response(fusion_views.job(_source_of(request)))


async def _history(request: web.Request) -> web.Response:
    return web.json_response(fusion_views.history(_source_of(request)))


async def _schedule(request: web.Request) -> web.Response:
    return web.json_response(fusion_views.schedule(_source_of(request)))


async def _act(request: web.Request) -> web.Response:
    return _do(request, (await _body(request)).get("action"))


async def _set_state(request: web.Request) -> web.Response:
    return _do(request, str((await _body(request)).get("state", "start")).lower())


async def _start(request: web.Request) -> web.Response:
    return _do(request, "start")


async def _stop(request: web.Request) -> web.Response:
    return _do(request, "abort" if request.query.get("abort") == "true" else "stop")


def _do(request: web.Request, action: object) -> web.Response:
    source, world = _source_of(request), world_of(request)
    if action == "start":
        if not world.start(source):
            raise Refused(refusal(409, "The job is already running"))
    elif action in ("stop", "abort"):
        world.stop(source, abort=action == "abort")
    else:
        raise Refused(refusal(400, f"unknown action {action!r}"))
    return web.json_response({"resource": f"datasource:{source.key}", "action": action, "accepted": True})


async def _body(request: web.Request) -> dict[str, Any]:
    return await body_of(request, lambda complaint: refusal(400, complaint))


async def _connector_job_1(request: web.Request) -> web.Response:
    source = _source_of(request)
    if source.crawl is None:
        raise Refused(refusal(404, f"no job of {source.key}"))
    return web.json_response(fusion_views.connector_job_1(source, source.crawl))


async def _connector_job_5(request: web.Request) -> web.Response:
    source = _source_of(request)
    if source.crawl is None:
        raise Refused(refusal(404, f"no job of {source.key}"))
    return web.json_response(fusion_views.connector_job_5(source, source.crawl, world_of(request).now))


async def _history_1(request: web.Request) -> web.Response:
    source = _source_of(request)
    if request.query.get("cumulative") == "true":
        return web.json_response(fusion_views.cumulative(source))
    return web.json_response(fusion_views.history_1(source))


def routes(build: Build) -> list[web.RouteDef]:
    both = [
        web.get("/api/connectors/datasources", _sources),
        web.get("/api/connectors/datasources/{key}", _source),
    ]
    if build.fusion == 1:
        return [
            *both,
            web.get("/api/connectors/jobs/{key}", _connector_job_1),
            web.post("/api/connectors/jobs/{key}", _start),
            web.put("/api/connectors/jobs/{key}", _start),
            web.delete("/api/connectors/jobs/{key}", _stop),
            web.get("/api/connectors/history/{key}", _history_1),
        ]
    return [
        *both,
        web.get("/api/jobs", _jobs),
        web.get("/api/jobs/{key}", _job),
        web.get("/api/jobs/{key}/history", _history),
        web.post("/api/jobs/{key}/actions", _act),
        web.get("/api/jobs/{key}/schedule", _schedule),
        web.get("/api/connectors/jobs/{key}", _connector_job_5),
        web.post("/api/connectors/jobs/{key}", _set_state),
    ]
