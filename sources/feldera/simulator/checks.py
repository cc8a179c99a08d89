"""What the simulated Feldera checks before it answers, and the bodies of its refusals (feldera.md §1, §9)."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sources.feldera.simulator.deployment import SERVING, Pipeline
from sources.feldera.simulator.world import FelderaWorld
from sources.simulation import WORLD

#: The keys of an administrator and of somebody who may only read.
TOKEN = f"apikey:{('simulated0Feldera1key2' * 6)[:128]}"
READER_TOKEN = f"apikey:{('simulated3Feldera4reader5' * 6)[:128]}"
#: Paths that need no credentials.
PUBLIC = frozenset({"/healthz", "/config/authentication"})
AUTHENTICATED = web.AppKey("AUTHENTICATED", bool)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(Exception):
    """An answer that is an error body. ``manager`` marks the manager's own 503, which carry Retry-After."""

    def __init__(self, status: int, code: str, message: str, details: Any = None, *, manager: bool = False) -> None:
        super().__init__(message)
        self.status, self.headers = status, {"Retry-After": "5"} if manager and status == 503 else {}
        self.body = {"message": message, "error_code": code, "details": details}

    def response(self) -> web.Response:
        return web.json_response(self.body, status=self.status, headers=self.headers)


def world_of(request: web.Request) -> FelderaWorld:
    world = request.app[WORLD]
    assert isinstance(world, FelderaWorld)
    return world


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/_simulator/"):
        return await handler(request)
    try:
        if request.app[AUTHENTICATED] and request.path not in PUBLIC:
            refused = unauthenticated(request)
            if refused is not None:
                return refused
            if request.method != "GET" and _key(request) == READER_TOKEN:
                details = {"required": "write", "actual": "read"}
                raise Refusal(403, "InsufficientPermissions", "Insufficient permissions", details)
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def unauthenticated(request: web.Request) -> web.Response | None:
    """The answer to wrong or missing credentials; None when they are right."""
    key = _key(request)
    return None if key in (TOKEN, READER_TOKEN) else rejection(request)


def rejection(request: web.Request) -> web.Response:
    """A key that is none is answered with JSON that calls itself text; anything else with a challenge alone."""
    if _key(request).startswith("apikey:"):
        refusal = {"message": "Unauthorized API key", "error_code": "AuthenticationFailed"}
        return web.Response(status=401, text=json.dumps(refusal), content_type="text/plain", charset="utf-8")
    fault = "Invalid token" if request.headers.get("Authorization") else "Missing bearer token"
    return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer error_description="{fault}"'})


def limited() -> web.Response:
    return Refusal(429, "ApiConnectionLimit", "Too many connections").response()


def pipeline_of(request: web.Request) -> Pipeline:
    name = request.match_info["pipeline"]
    found = world_of(request).pipelines.get(name)
    if found is None:
        raise Refusal(404, "UnknownPipelineName", f"Unknown pipeline name '{name}'", {"pipeline_name": name})
    return found


#: Words of the process that make it refuse, and what it says.
_PROCESS_SAYS = {
    "Initializing": "pipeline is initializing",
    "AwaitingApproval": "pipeline waits for approval",
    "Suspended": "pipeline has been suspended",
}


def serving(request: web.Request) -> Pipeline:
    """The pipeline that the path names, when it tells its counters; deployed before reachable (feldera.md §9)."""
    pipeline = pipeline_of(request)
    if pipeline.resources != "Provisioned":
        message = (
            f"Unable to interact with pipeline because the deployment status ({pipeline.resources.lower()}) "
            "indicates it is not (yet) fully provisioned"
        )
        details = {
            "pipeline_name": pipeline.name,
            "status": pipeline.resources,
            "desired_status": pipeline.resources_desired,
        }
        raise Refusal(503, "PipelineInteractionNotDeployed", message, details, manager=True)
    if pipeline.fault is not None:
        raise fault(pipeline, pipeline.fault)
    if pipeline.runtime == "Unavailable":
        message = "Unable to interact with pipeline because its status is currently 'unavailable'"
        raise Refusal(503, "PipelineUnavailable", message, {"pipeline_name": pipeline.name}, manager=True)
    if pipeline.runtime not in SERVING:
        word = pipeline.runtime or "Initializing"
        raise Refusal(503, word, _PROCESS_SAYS.get(word, f"pipeline is {word}"))
    return pipeline


def fault(pipeline: Pipeline, name: str) -> Refusal:
    """The error bodies of trouble between the manager and the process, and within the process."""
    if name == "Terminating":
        return Refusal(410, "Terminating", "pipeline is terminating")
    if name == "InitializationError":
        first = pipeline.inputs[0].name
        message = f"failed to initialize input connector '{first}'"
        return Refusal(500, name, message, {"error": "AccessDenied"})
    if name == "payload too large":
        message = "Encountered an unexpected invalid response when interacting with pipeline"
        details = {"pipeline_name": pipeline.name, "error": name}
        return Refusal(500, "PipelineInteractionInvalidResponse", message, details)
    message = f"Error sending HTTP request to pipeline: {name}"
    details = {"pipeline_name": pipeline.name, "request": "/stats", "error": name}
    return Refusal(503, "PipelineInteractionUnreachable", message, details, manager=True)
