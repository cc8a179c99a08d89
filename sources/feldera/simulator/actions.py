"""What can be done to pipelines of the simulated Feldera: answered at once, reached later (feldera.md §7)."""

import re

from aiohttp import web

from sources.feldera.simulator import views
from sources.feldera.simulator.checks import Refusal, pipeline_of, world_of
from sources.feldera.simulator.deployment import Pipeline
from sources.feldera.simulator.world import FelderaWorld

_FAILED = frozenset({"SqlError", "RustError", "SystemError"})


async def act(request: web.Request) -> web.Response:
    world, pipeline, action = world_of(request), pipeline_of(request), request.match_info["action"]
    if action == "dismiss_error":
        pipeline.error = None
        return web.Response()
    if action == "start":
        answer = _start(world, pipeline, request)
    elif action == "stop":
        answer = _stop(world, pipeline, force=request.query.get("force") == "true")
    elif action == "clear":
        answer = _clear(world, pipeline)
    else:
        answer = _hold(world, pipeline, action)
    return web.json_response(answer, status=202)


def _start(world: FelderaWorld, pipeline: Pipeline, request: web.Request) -> str:
    if pipeline.program_status in _FAILED:
        message = "Pipeline cannot start because its program failed to compile"
        details = {"compiler_error": pipeline.program_status}
        raise Refusal(400, "StartFailedDueToFailedCompilation", message, details)
    if pipeline.storage == "Clearing":
        raise Refusal(400, "CannotStartWhileClearingStorage", "Pipeline cannot start while its storage is cleared")
    if pipeline.resources == "Stopping":
        message = "Deployment resources status cannot have desired changed to 'Provisioned' now."
        details = {
            "status": pipeline.resources,
            "current_desired_status": pipeline.resources_desired,
            "new_desired_status": "Provisioned",
            "hint": "Wait for it to stop before starting again.",
        }
        raise Refusal(400, "IllegalPipelineAction", message, details)
    if pipeline.error is not None and request.query.get("dismiss_error", "true") != "true":
        raise Refusal(400, "CannotStartWithUndismissedError", "Pipeline cannot start with an error not yet dismissed")
    pipeline.error = None
    if pipeline.resources == "Stopped":
        world.start_pipeline(pipeline, request.query.get("initial", "running").capitalize())
    return "Pipeline is starting"


def _stop(world: FelderaWorld, pipeline: Pipeline, *, force: bool) -> str:
    """Without ``force`` a checkpoint comes first, which takes the enterprise edition and storage."""
    if not force and world.edition == "Open source":
        message = "This feature is part of the enterprise edition: stop"
        raise Refusal(501, "EnterpriseFeature", message, {"feature": "stop"})
    if not force and not pipeline.has_storage:
        details = {"action": "suspend", "reason": "Storage must be configured"}
        raise Refusal(405, "UnsupportedPipelineAction", "Unsupported pipeline action 'suspend'", details)
    if pipeline.resources != "Stopping":
        world.stop(pipeline)
    return "Pipeline is forcefully stopping" if force else "Pipeline is stopping"


def _clear(world: FelderaWorld, pipeline: Pipeline) -> str:
    if pipeline.resources != "Stopped":
        raise Refusal(400, "IllegalPipelineAction", "Storage can be cleared of a stopped pipeline only")
    world.clear(pipeline)
    return "Pipeline storage is being cleared"


def _hold(world: FelderaWorld, pipeline: Pipeline, action: str) -> str:
    if pipeline.resources != "Provisioned":
        code = f"{action.capitalize()}WhileNotProvisioned"
        raise Refusal(400, code, f"Pipeline cannot be {action}d while it is not provisioned")
    world.hold(pipeline, "Paused" if action == "pause" else "Running")
    return "Pipeline is pausing" if action == "pause" else "Pipeline is resuming"


async def create(request: web.Request) -> web.Response:
    """A new pipeline without connectors: the simulator compiles no SQL."""
    world = world_of(request)
    form = await request.json()
    name = form.get("name") if isinstance(form, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9]([\w-]{0,61}[A-Za-z0-9])?", name, re.ASCII):
        raise Refusal(400, "NameDoesNotMatchPattern", f"Name '{name}' does not match the pattern", {"name": name})
    if name in world.pipelines:
        raise Refusal(409, "DuplicateName", "An entity with this name already exists")
    made = world.add(name, description=form.get("description", ""), program_status="Pending", storage="Cleared")
    world.compile(made)
    return web.json_response(views.pipeline(made, "all"), status=201)


async def delete(request: web.Request) -> web.Response:
    world, pipeline = world_of(request), pipeline_of(request)
    if pipeline.resources != "Stopped" or pipeline.resources_desired != "Stopped":
        raise Refusal(400, "DeleteRestrictedToFullyStopped", "Cannot delete a pipeline that is not fully stopped")
    del world.pipelines[pipeline.name]
    return web.Response()
