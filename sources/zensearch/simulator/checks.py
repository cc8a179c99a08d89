"""What the simulated ZenSearch checks before a handler runs, and how it answers (zensearch.md §8, §9)."""

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

from aiohttp import web

from sources.simulation import REQUESTS, WORLD
from sources.zensearch.simulator.views import MANNERS, zulu
from sources.zensearch.simulator.world import ZenSearchWorld

#: API key, sent as a bearer.
TOKEN = "zen_simulated"
#: What stands for the JWT of a logged-in session; below /api/v1 only.
SESSION = "simulated.session.jwt"
#: Key pair, sent as X-ZenSearch-Key below /api/v1; the publishable one reads only.
SECRET_KEY, PUBLISHABLE_KEY = "zsk_sk_simulated", "zsk_pk_simulated"
#: API key that exists and may do nothing.
POWERLESS = "zen_powerless"
#: Seconds that a signature may be off, and that a window of requests lasts.
SIGNATURE_AGE, WINDOW = 300, 60

NO_HEADER, INVALID_KEY = "Authorization header required", "Invalid API key"
FORBIDDEN = "API key does not have permission for this operation"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: credential → when its window of requests began, and how many it has made since
WINDOWS = web.AppKey("WINDOWS", dict[str, tuple[datetime, int]])


class Refused(Exception):
    """What is said instead of an answer."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **more}


def world_of(request: web.Request) -> ZenSearchWorld:
    world = request.app[WORLD]
    assert isinstance(world, ZenSearchWorld)
    return world


def unauthorized() -> web.Response:
    return web.json_response({"error": {"code": "unauthorized", "message": INVALID_KEY}}, status=401)


def limited() -> web.Response:
    """429 without any hint how long to wait."""
    return web.json_response({"error": {"code": "rate_limit_exceeded", "message": "Rate limit exceeded."}}, status=429)


def answer(request: web.Request, data: Any, status: int = 200) -> web.Response:
    """``{data, meta?}``"""
    meta = _meta(request)
    body = {"data": data} if meta is None else {"data": data, "meta": meta}
    return web.json_response(body, status=status)


def _meta(request: web.Request) -> dict[str, str | None] | None:
    wanted = request.app[MANNERS].meta
    if not (request.path.startswith("/api/") if wanted is None else wanted):
        return None
    return {"requestId": f"req_{len(request.app[REQUESTS]):06x}", "timestamp": zulu(world_of(request).now)}


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Credentials, signature, rate; then the route. Every answer carries the rate headers."""
    if request.path.startswith("/_simulator/"):
        return await handler(request)
    headers: Mapping[str, str] = {}
    try:
        credential = _admit(request)
        await _verify(request, credential)
        headers = _count(request, credential)
        response = await handler(request)
    except Refused as refused:
        response = _refusal(request, refused)
        if refused.status == 429 and request.app[MANNERS].rate_hints:
            response.headers["Retry-After"] = str(refused.error["retryAfter"])
            headers = _rate_headers(request, credential)
    except web.HTTPNotFound:
        response = _refusal(request, Refused(404, "not_found", "Not found"))
    except web.HTTPMethodNotAllowed as error:
        response = _refusal(request, Refused(405, "method_not_allowed", "Method not allowed"))
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    response.headers.update(headers)
    return response


def _refusal(request: web.Request, refused: Refused) -> web.Response:
    meta = _meta(request)
    body: dict[str, Any] = {"error": refused.error}
    if meta is not None:
        body["meta"] = {"requestId": meta["requestId"]}
    return web.json_response(body, status=refused.status)


def _admit(request: web.Request) -> str:
    """The credential sent; Refused when there is none that opens this path."""
    inner = request.path.startswith("/api/")
    key, bearer = request.headers.get("X-ZenSearch-Key"), request.headers.get("Authorization", "")
    if inner and key is not None:
        if key not in (SECRET_KEY, PUBLISHABLE_KEY):
            raise Refused(401, "unauthorized", INVALID_KEY)
        if key == PUBLISHABLE_KEY and request.method != "GET":
            raise Refused(403, "forbidden", FORBIDDEN)
        return key
    if not bearer:
        raise Refused(401, "unauthorized", NO_HEADER)
    token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else ""
    if token == POWERLESS:
        raise Refused(403, "forbidden", FORBIDDEN)
    if token != TOKEN and not (inner and token == SESSION):
        raise Refused(401, "unauthorized", INVALID_KEY)
    return token


async def _verify(request: web.Request, credential: str) -> None:
    """Refused unless what is signed is signed well. The age counts by the wall clock: signatures are made outside the
    simulated world."""
    stamp, signature = (request.headers.get(f"X-ZenSearch-{name}") for name in ("Timestamp", "Signature"))
    if stamp is None and signature is None and not request.app[MANNERS].wants_signature:
        return
    signed = f"{stamp}.".encode() + await request.read()
    made = hmac.new(credential.encode(), signed, sha256).hexdigest()
    if not (stamp or "").isdecimal() or not hmac.compare_digest(made, signature or ""):
        raise Refused(401, "unauthorized", "Invalid signature")
    if abs(time.time() - int(stamp or 0) / 1000) > SIGNATURE_AGE:
        raise Refused(401, "unauthorized", "Signature expired")


def _count(request: web.Request, credential: str) -> dict[str, str]:
    """Count one request; Refused when the window has none left."""
    now, windows, limit = world_of(request).now, request.app[WINDOWS], request.app[MANNERS].limit
    began, made = windows.get(credential, (now, 0))
    if now - began >= timedelta(seconds=WINDOW):
        began, made = now, 0
    windows[credential] = (began, min(made + 1, limit))
    if made < limit:
        return _rate_headers(request, credential)
    if not request.app[MANNERS].rate_hints:
        raise Refused(429, "rate_limit_exceeded", "Rate limit exceeded.")
    wait = max(1, round(WINDOW - (now - began).total_seconds()))
    raise Refused(429, "rate_limit_exceeded", f"Rate limit exceeded. Try again in {wait} seconds.", retryAfter=wait)


def _rate_headers(request: web.Request, credential: str) -> dict[str, str]:
    """With the Date of the simulated world, which the reset is told in."""
    manners = request.app[MANNERS]
    if not manners.rate_hints:
        return {}
    began, made = request.app[WINDOWS][credential]
    return {
        "X-RateLimit-Limit": str(manners.limit),
        "X-RateLimit-Remaining": str(manners.limit - made),
        "X-RateLimit-Reset": str(round(began.timestamp()) + WINDOW),
        "Date": format_datetime(world_of(request).now, usegmt=True),
    }


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object sent; an empty one when nothing was."""
    try:
        sent = json.loads(await request.text() or "{}")
    except ValueError:
        raise Refused(400, "invalid_request", "Request body is not valid JSON") from None
    if not isinstance(sent, dict):
        raise Refused(400, "invalid_request", "Request body must be an object")
    return sent
