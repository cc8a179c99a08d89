"""What stands in front of the simulated Lucidworks, and the bodies of its refusals (lucidworks.md §1, §10).

The REST API itself asks for nobody's name. The simulated one stands behind a proxy that does; Fusion asks by itself.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sources.lucidworks.simulator.crawls import DataSource
from sources.lucidworks.simulator.views import Build
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.simulation import WORLD

#: The account that is let in.
USERNAME, PASSWORD = "gateway", "lw-simulated"
BUILD = web.AppKey("BUILD", Build)
_CREDENTIALS = f"Basic {base64.b64encode(f'{USERNAME}:{PASSWORD}'.encode()).decode()}"
NO_SUCH_PATH = "<html><body><h3>The server has not found anything matching the request URI</h3></body></html>"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def world_of(request: web.Request) -> LucidworksWorld:
    world = request.app[WORLD]
    assert isinstance(world, LucidworksWorld)
    return world


def build_of(request: web.Request) -> Build:
    return request.app[BUILD]


class Refused(Exception):
    """Carries the response out of a handler."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Credentials first, as a proxy does; then routes and handlers."""
    if request.path.startswith("/_simulator/"):
        return await handler(request)
    if request.headers.get("Authorization") != _CREDENTIALS:
        return rejection(request)
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response
    except web.HTTPNotFound:
        return page(404, NO_SUCH_PATH)
    except web.HTTPMethodNotAllowed as error:
        response = page(405, "<html><body><h3>Method Not Allowed</h3></body></html>")
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response


def page(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="text/html")


def is_fusion(request: web.Request) -> bool:
    return request.path.startswith(("/api/jobs", "/api/connectors"))


def rejection(request: web.Request) -> web.Response:
    if is_fusion(request):
        return web.json_response({"httpStatusCode": 401, "message": "Unauthorized"}, status=401)
    response = page(401, "<html>401</html>")
    response.headers["WWW-Authenticate"] = 'Basic realm="search"'
    return response


_NAMES = {404: "Not Found", 422: "Unprocessable Entity"}
_CODES = {404: "error.not.found", 422: "error.invalid.value"}


def refusal(build: Build, status: int, *errors: tuple[str, str], code: str | None = None) -> web.Response:
    """``errors`` are pairs of key and message, in the envelope or as a bare array."""
    if build.envelope:
        listed: Any = [{"message": message, "key": key} for key, message in errors]
        listed = {"http_status_name": _NAMES[status], "http_status_code": status, "errors": listed}
    else:
        listed = [{"key": key, "code": code or _CODES[status], "message": message} for key, message in errors]
    return web.json_response(listed, status=status)


async def body_of(request: web.Request, refused: Callable[[str], web.Response]) -> dict[str, Any]:
    """The JSON object sent, an empty one when nothing was. ``refused`` makes the answer to anything else."""
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(refused("the body is no JSON object"))
    return body


def collection_of(request: web.Request) -> str:
    """The collection in the path, which has to be there."""
    name = request.match_info["collection"]
    if name not in world_of(request).collections:
        raise Refused(refusal(build_of(request), 404, ("", "URI not found")))
    return name


def source_of(request: web.Request, *, strict: bool = True) -> DataSource:
    """The data source in the path. Where not ``strict`` it may belong to another collection (§2)."""
    build, text = build_of(request), request.match_info["source"]
    name = collection_of(request)
    source = world_of(request).sources.get(build.source_of(text) or 0)
    if source is None:
        raise Refused(refusal(build, 404, ("", "URI not found")))
    if strict and source.collection != name:
        raise Refused(refusal(build, 404, ("", f"Data source {text} not found in collection {name}")))
    return source
