"""The paths of the simulated LucidWorks Search, and what answers them (lucidworks.md §2)."""

from typing import Any

from aiohttp import web

from sources.lucidworks.simulator import views
from sources.lucidworks.simulator.checks import Refused, body_of, build_of, collection_of, refusal, source_of, world_of
from sources.lucidworks.simulator.crawls import DataSource
from sources.lucidworks.simulator.population import KINDS
from sources.lucidworks.simulator.views import Build


async def _body(request: web.Request) -> dict[str, Any]:
    return await body_of(request, lambda complaint: refusal(build_of(request), 422, ("", complaint)))


# ---- collections and data sources


async def _collections(request: web.Request) -> web.Response:
    return web.json_response([views.collection(name) for name in world_of(request).collections])


async def _sources(request: web.Request) -> web.Response:
    members = world_of(request).members(collection_of(request))
    return web.json_response([views.data_source(source, build_of(request)) for source in members])


async def _source(request: web.Request) -> web.Response:
    return web.json_response(views.data_source(source_of(request), build_of(request)))


async def _create(request: web.Request) -> web.Response:
    world, build, collection = world_of(request), build_of(request), collection_of(request)
    body = await _body(request)
    if missing := [key for key in ("type", "crawler") if not body.get(key)]:
        raise Refused(refusal(build, 422, *((key, f"{key} must not be empty") for key in missing)))
    kind, crawler = body.pop("type"), body.pop("crawler")
    wrong = _wrong(body)
    if kind not in KINDS:
        wrong.append(("type", f"Unknown type for crawler {crawler}: {kind}"))
    if wrong:
        raise Refused(refusal(build, 422, *wrong))
    number = world.next_source()
    name = str(body.pop("name", f"{kind} {number}"))
    source = world.add(
        DataSource(
            id=number,
            key=f"{name.lower().replace(' ', '-')}-{number}",
            collection=collection,
            name=name,
            type=kind,
            crawler=crawler,
            category=KINDS[kind][1],
            created=world.now,
            settings=body,
            scheduled=False,
        )
    )
    location = f"{request.path}/{build.id(source)}"
    return web.json_response(views.data_source(source, build), status=201, headers={"Location": location})


def _wrong(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [("url", "url must not be empty")] if body.get("url") == "" else []


async def _update(request: web.Request) -> web.Response:
    source, body = source_of(request), await _body(request)
    wrong = _wrong(body)
    wrong += [(key, f"{key} cannot be changed") for key in ("type", "crawler") if key in body]
    if wrong:
        raise Refused(refusal(build_of(request), 422, *wrong))
    source.name = str(body.pop("name", source.name))
    source.settings |= body
    return web.Response(status=204)


async def _delete(request: web.Request) -> web.Response:
    world_of(request).delete(source_of(request))
    return web.Response(status=204)


# ---- status and history


async def _status(request: web.Request) -> web.Response:
    source, build = source_of(request, strict=request.path.endswith("/status")), build_of(request)
    if source.crawl is None and build.never_run != "idle":
        if build.never_run == "missing":
            raise Refused(refusal(build, 404, ("", "URI not found")))
        return web.json_response(text="null" if build.never_run == "null" else "")
    return web.json_response(views.status(source, source.crawl, build))


async def _all_status(request: web.Request) -> web.Response:
    build = build_of(request)
    return web.json_response(
        [
            views.status(source, source.crawl, build)
            for source in world_of(request).members(collection_of(request))
            if source.crawl is not None or build.never_run == "idle"
        ]
    )


async def _history(request: web.Request) -> web.Response:
    return web.json_response(views.history(source_of(request), build_of(request)))


async def _all_history(request: web.Request) -> web.Response:
    build = build_of(request)
    members = world_of(request).members(collection_of(request))
    return web.json_response([{"id": str(build.id(s)), "history": views.history(s, build)} for s in members])


# ---- starting and stopping


async def _start(request: web.Request) -> web.Response:
    source, build = source_of(request, strict=False), build_of(request)
    if not world_of(request).start(source):
        message = "Job already running" if build.envelope else "java.lang.Exception: Job already running"
        key = str(build.id(source))
        raise Refused(refusal(build, 422, (key, message), code="error.other.exception.crawl.start"))
    return web.Response(status=204)


async def _start_all(request: web.Request) -> web.Response:
    world = world_of(request)
    for source in list(world.members(collection_of(request))):
        world.start(source)
    return web.Response(status=204)


async def _stop(request: web.Request) -> web.Response:
    source = source_of(request, strict=False)
    world_of(request).stop(source, abort=request.query.get("abort") == "true")
    return web.Response(status=204)


async def _stop_all(request: web.Request) -> web.Response:
    world = world_of(request)
    for source in world.members(collection_of(request)):
        world.stop(source, abort=request.query.get("abort") == "true")
    return web.Response(status=204)


# ---- schedules


async def _schedule(request: web.Request) -> web.Response:
    return web.json_response(views.schedule(source_of(request)))


async def _set_schedule(request: web.Request) -> web.Response:
    source, body, world = source_of(request), await _body(request), world_of(request)
    start = body.get("start_time")
    if start == "now":
        start = views.date(world.now)
    elif isinstance(start, str) and start < str(views.date(world.now)):
        raise Refused(refusal(build_of(request), 422, ("start_time", "start_time must not be in the past")))
    source.schedule = {**views.schedule(source), **body, "start_time": start}
    return web.Response(status=204)


async def _unset_schedule(request: web.Request) -> web.Response:
    source_of(request).schedule = None
    return web.Response(status=204)


_ALL = "/api/collections/{collection}/datasources"
_ONE = f"{_ALL}/{{source}}"


def routes(build: Build) -> list[web.RouteDef]:
    together = [
        web.get(f"{_ALL}/all/status", _all_status),
        web.get(f"{_ALL}/all/history", _all_history),
        web.get(f"{_ALL}/all/job", _all_status),
        web.put(f"{_ALL}/all/job", _start_all),
        web.delete(f"{_ALL}/all/job", _stop_all),
    ]
    return [
        *(together if build.bulk else ()),
        web.get("/api/collections", _collections),
        web.get(_ALL, _sources),
        web.post(_ALL, _create),
        web.get(_ONE, _source),
        web.put(_ONE, _update),
        web.delete(_ONE, _delete),
        web.get(f"{_ONE}/status", _status),
        web.get(f"{_ONE}/history", _history),
        web.get(f"{_ONE}/job", _status),
        web.put(f"{_ONE}/job", _start),
        web.delete(f"{_ONE}/job", _stop),
        web.get(f"{_ONE}/schedule", _schedule),
        web.put(f"{_ONE}/schedule", _set_schedule),
        web.delete(f"{_ONE}/schedule", _unset_schedule),
    ]
