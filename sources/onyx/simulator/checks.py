"""What the simulated Onyx checks before a handler runs, and the bodies of its refusals (onyx.md §1, §7)."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from sources.onyx.simulator.pairs import Pair
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import WORLD

#: The key of an administrator.
TOKEN = "on_simulated"
#: Further keys → why they are refused.
POWERLESS: Mapping[str, dict[str, str]] = {
    "on_basic": {
        "error_code": "INSUFFICIENT_PERMISSIONS",
        "detail": "You do not have the required permissions for this action.",
    },
    "on_limited": {"detail": "Access denied. User has limited permissions."},
}
UNAUTHENTICATED = {"detail": "Access denied. User is not authenticated."}
UNRECOGNIZED = {"error_code": "SESSION_UNRECOGNIZED", "detail": "Session not recognized. Please log in again."}
NOT_FOUND_FOR_USER = "CC Pair not found for current user permissions"
#: Paths that need no credentials.
PUBLIC = frozenset({"/api/health", "/api/health/ready", "/api/version"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Body = TypeVar("_Body", bound=BaseModel)


def world_of(request: web.Request) -> OnyxWorld:
    world = request.app[WORLD]
    assert isinstance(world, OnyxWorld)
    return world


def pair_of(request: web.Request) -> Pair | None:
    """The pair that the path names; None when it is unknown or hidden."""
    pair = world_of(request).pairs.get(int(request.match_info["pair"]))
    return None if pair is None or pair.hidden else pair


def hidden() -> web.Response:
    """What every route but the detail says of an unknown pair since v4.7."""
    return refusal(403, NOT_FOUND_FOR_USER, "INSUFFICIENT_PERMISSIONS")


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """In the server's order: route, malformed JSON, credentials; handlers validate fields."""
    if request.path.startswith("/_simulator/"):
        return await handler(request)
    try:
        if request.match_info.http_exception is None:
            if request.content_type == "application/json" and request.can_read_body:
                await request.json()
            if request.path not in PUBLIC and (why := _refuse(request.headers)) is not None:
                return web.json_response(why, status=403)
        return await handler(request)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return _unprocessable({"type": "json_invalid", "loc": ("body", 0), "msg": "JSON decode error"})
    except ValidationError as error:
        return _unprocessable(*({**line, "loc": ("body", *line["loc"])} for line in error.errors(include_url=False)))
    except web.HTTPNotFound:
        return await _without_slash(request) or refusal(404, "Not Found")
    except web.HTTPMethodNotAllowed as error:
        allow = ", ".join(sorted(error.allowed_methods))
        return web.json_response({"detail": "Method Not Allowed"}, status=405, headers={"Allow": allow})


def _refuse(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Why the credentials are refused; None when they are an administrator's."""
    sent = headers.get("X-Onyx-Authorization") or headers.get("Authorization") or ""
    bearer, key = sent.startswith("Bearer "), sent.removeprefix("Bearer ")
    if bearer and key and not key.startswith(("on_", "dn_", "onyx_pat_")) and "." not in key:
        return UNRECOGNIZED
    if key.startswith("onyx_pat_") and not bearer:
        return UNAUTHENTICATED
    if key in (TOKEN, f"onyx_pat_{TOKEN}"):
        return None
    return POWERLESS.get(key, UNAUTHENTICATED)


async def _without_slash(request: web.Request) -> web.Response | None:
    """A path with a slash too many answers 307 to the one without, as seen behind the proxy that strips /api."""
    bare = request.path.rstrip("/")
    if bare == request.path:
        return None
    found = await request.app.router.resolve(request.clone(rel_url=request.rel_url.with_path(bare)))
    if isinstance(found.http_exception, web.HTTPNotFound):
        return None
    location = f"{request.scheme}://{request.host}{bare.removeprefix('/api')}"
    return web.Response(status=307, headers={"Location": location})


def _unprocessable(*errors: Mapping[str, Any]) -> web.Response:
    message = f"{len(errors)} validation error{'s' * (len(errors) > 1)}: " + ", ".join(repr(dict(e)) for e in errors)
    return web.json_response({"status_code": 422, "message": message, "data": None}, status=422)


def refusal(status: int, text: str, code: str | None = None) -> web.Response:
    body = {"detail": text} if code is None else {"error_code": code, "detail": text}
    return web.json_response(body, status=status)


def status_response(message: str | None, data: Any) -> web.Response:
    return web.json_response({"success": True, "message": message, "data": data})


async def body_of(request: web.Request, model: type[_Body]) -> _Body:
    """The validated body. Without a JSON content type the server takes it for text, which is no object."""
    return model.model_validate(await request.json() if request.content_type == "application/json" else "")
