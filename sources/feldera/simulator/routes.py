"""The paths of the simulated Feldera, and what answers them (feldera.md §2)."""

import base64
import binascii
import json
import re
from typing import Any

from aiohttp import web

from sources.feldera.simulator import actions, counters, views
from sources.feldera.simulator.checks import AUTHENTICATED, Refusal, pipeline_of, serving, world_of
from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.endpoints import Endpoint

#: Whether counters come with the texts of errors.
ERROR_TEXTS = web.AppKey("ERROR_TEXTS", bool)
#: Answers of the manager's own that no cache may keep (feldera.md §1).
_FRESH = {"Cache-Control": "no-cache"}


def _selector(request: web.Request) -> str:
    selector = request.query.get("selector", "all")
    if selector not in views.SELECTORS:
        message = f"Query deserialize error: unknown variant `{selector}`"
        raise Refusal(400, "InvalidParam", message, {"error": message})
    return selector


async def _list(request: web.Request) -> web.Response:
    selector = _selector(request)
    pipelines = sorted(world_of(request).pipelines.values(), key=lambda pipeline: pipeline.id)
    return web.json_response([views.pipeline(pipeline, selector) for pipeline in pipelines], headers=_FRESH)


async def _one(request: web.Request) -> web.Response:
    return web.json_response(views.pipeline(pipeline_of(request), _selector(request)), headers=_FRESH)


async def _stats(request: web.Request) -> web.Response:
    texts = request.query.get("include_connector_errors") == "true" and request.app[ERROR_TEXTS]
    pipeline = serving(request)
    return web.json_response(counters.stats(world_of(request), pipeline, texts=texts))


def _same(identifier: str, relation: str | None) -> bool:
    """Whether an SQL identifier means this relation: exactly when quoted, in any case otherwise (feldera.md §2)."""
    quoted = re.fullmatch(r'"(.*)"', identifier, re.DOTALL)
    return quoted[1] == relation if quoted else identifier.lower() == relation


def _endpoint(request: web.Request, *, is_input: bool) -> tuple[Pipeline, Endpoint]:
    pipeline = serving(request)
    relation, connector = request.match_info["relation"], request.match_info["connector"]
    for endpoint in pipeline.inputs if is_input else pipeline.outputs:
        if _same(relation, endpoint.relation) and endpoint.connector == connector:
            return pipeline, endpoint
    name, kind = f"{relation.strip(chr(34))}.{connector}", "input" if is_input else "output"
    code, message = f"Unknown{kind.title()}Endpoint", f"unknown {kind} endpoint name '{name}'"
    raise Refusal(404, code, message, {"endpoint_name": name})


async def _input_stats(request: web.Request) -> web.Response:
    return web.json_response(counters.input_status(_endpoint(request, is_input=True)[1]))


async def _output_stats(request: web.Request) -> web.Response:
    return web.json_response(counters.output_status(_endpoint(request, is_input=False)[1]))


async def _act_on_connector(request: web.Request) -> web.Response:
    """Start or pause an input: 200 with nothing in it, however often. The word is checked before the pipeline."""
    action = request.match_info["action"]
    if action not in ("start", "pause"):
        message = f"Invalid connector action '{action}'; valid actions: start, pause"
        raise Refusal(400, "InvalidConnectorAction", message, {"action": action})
    _endpoint(request, is_input=True)[1].paused = action == "pause"
    return web.Response()


async def _completion_token(request: web.Request) -> web.Response:
    pipeline, endpoint = _endpoint(request, is_input=True)
    mark = json.dumps([str(pipeline.incarnation), endpoint.name, endpoint.records])
    return web.json_response({"token": base64.b64encode(mark.encode()).decode()})


async def _completion_status(request: web.Request) -> web.Response:
    pipeline = serving(request)
    try:
        mark: Any = json.loads(base64.b64decode(request.query.get("token", ""), validate=True))
        incarnation, name, records = mark
        endpoint = next(endpoint for endpoint in pipeline.inputs if endpoint.name == name)
        done = endpoint.records - endpoint.buffered >= records
    except (binascii.Error, ValueError, TypeError, StopIteration):
        raise Refusal(400, "InvalidParam", "Invalid completion token", {"error": "it cannot be read"}) from None
    if incarnation != str(pipeline.incarnation):
        raise Refusal(410, "CompletionTokenExpired", "The token belongs to an earlier incarnation")
    answer = {"status": "complete" if done else "inprogress", "step": pipeline.steps if done else None}
    return web.json_response(answer)


async def _configuration(request: web.Request) -> web.Response:
    return web.json_response(views.configuration(world_of(request)))


async def _authentication(request: web.Request) -> web.Response:
    provider = {
        "GenericOidc": {"client_id": "simulated", "extra_oidc_scopes": [], "issuer": "https://login.example.com"}
    }
    return web.json_response(provider if request.app[AUTHENTICATED] else {})


async def _cluster_health(request: web.Request) -> web.Response:
    world = world_of(request)
    return web.json_response(views.health(world), status=503 if world.compiler_trouble else 200)


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "healthy"})


_ONE = "/v0/pipelines/{pipeline}"
_INPUT = _ONE + "/tables/{relation}/connectors/{connector}"
_OUTPUT = _ONE + "/views/{relation}/connectors/{connector}"
ROUTES = (
    web.get("/healthz", _healthz),
    web.get("/config/authentication", _authentication),
    web.get("/v0/config", _configuration),
    web.get("/v0/cluster_healthz", _cluster_health),
    web.get("/v0/pipelines", _list),
    web.post("/v0/pipelines", actions.create),
    web.get(_ONE, _one),
    web.delete(_ONE, actions.delete),
    web.get(f"{_ONE}/stats", _stats),
    web.get(f"{_ONE}/completion_status", _completion_status),
    web.post(_ONE + "/{action:start|pause|resume|stop|dismiss_error|clear}", actions.act),
    web.get(f"{_INPUT}/stats", _input_stats),
    web.get(f"{_INPUT}/completion_token", _completion_token),
    web.post(_INPUT + "/{action}", _act_on_connector),
    web.get(f"{_OUTPUT}/stats", _output_stats),
)
