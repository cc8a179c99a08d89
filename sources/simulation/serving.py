"""A simulator as an application that is served: fault switches in front of it, and a port that it keeps."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web

from sources.simulation.clock import Clock, World
from sources.simulation.faults import Faults, edited

FAULTS = web.AppKey("FAULTS", Faults)
WORLD = web.AppKey("WORLD", World)
CLOCK = web.AppKey("CLOCK", Clock)
#: Requests answered so far, by "METHOD path"; for tests and for counting.
REQUESTS = web.AppKey("REQUESTS", list[str])


class Simulator(Protocol):
    """What ``SourceKind.simulator`` is: called with these arguments it gives the application to serve."""

    def __call__(self, *, seed: int = 0, clock: Clock) -> web.Application: ...


def simulator_app(
    world: World, clock: Clock, *, rejection: Callable[[web.Request], web.Response], limited: Callable[[], web.Response]
) -> web.Application:
    """An application that advances ``world`` before each request and puts the fault switches in front of it.

    ``rejection`` and ``limited`` make the upstream's own answers to wrong credentials and to too many requests.
    """

    @web.middleware
    async def faulty(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        if request.path.startswith("/_simulator/"):
            return await handler(request)
        request.app[REQUESTS].append(f"{request.method} {request.path_qs}")
        faults = request.app[FAULTS]
        world.advance(clock.now(), skew=faults.skew)
        if faults.path not in request.path:
            return await handler(request)
        await _wait(faults)
        if faults.html_status is not None:
            return _html(faults.html_status)
        if faults.reject_credentials:
            return rejection(request)
        if faults.rate_limited:
            return _until_retry(limited(), faults)
        if faults.deaf_to:
            query = {name: value for name, value in request.query.items() if name not in faults.deaf_to}
            request = request.clone(rel_url=request.rel_url.with_query(query))
        response = await handler(request)
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            return await _spoil(request, response, response.body, faults)
        return response

    app = web.Application(middlewares=[faulty])
    app[FAULTS] = Faults()
    app[WORLD] = world
    app[CLOCK] = clock
    app[REQUESTS] = []
    app.router.add_post("/_simulator/faults", _switch)
    return app


async def _wait(faults: Faults) -> None:
    if faults.hang:
        await asyncio.Event().wait()
    if faults.delay:
        await asyncio.sleep(faults.delay)


def _html(status: int) -> web.Response:
    page = f"<html><head><title>{status}</title></head><body>nginx</body></html>"
    return web.Response(status=status, text=page, content_type="text/html")


def _until_retry(refusal: web.Response, faults: Faults) -> web.Response:
    if faults.retry_after is not None:
        refusal.headers["Retry-After"] = f"{faults.retry_after:g}"
    return refusal


async def _spoil(
    request: web.Request, response: web.Response, body: bytes, faults: Faults
) -> web.Response | web.StreamResponse:
    if response.content_type == "application/json" and (edits := faults.edits_of(request.path)):
        response.body = body = edited(body, edits)
    if faults.truncate:
        response.body = body = body[: len(body) // 2]
    if faults.drip:
        return await _drip(request, response, body, faults.drip)
    if faults.disconnect:
        return await _disconnect(request, response, body)
    return response


async def _drip(request: web.Request, response: web.Response, body: bytes, pause: float) -> web.StreamResponse:
    slow = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    slow.content_length = len(body)
    await slow.prepare(request)
    with contextlib.suppress(ConnectionError):  # the client has had enough
        for at in range(len(body)):
            await slow.write(body[at : at + 1])
            await asyncio.sleep(pause)
    return slow


async def _disconnect(request: web.Request, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    cut = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    cut.content_length = len(body)
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return cut


async def _switch(request: web.Request) -> web.Response:
    """``{"hang": true}`` switches on, ``{}`` switches everything off; answers with the switches as they now are."""
    try:
        wanted = Faults(**json.loads(await request.text() or "{}"))
    except (ValueError, TypeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    faults = request.app[FAULTS]
    for name, value in vars(wanted).items():
        setattr(faults, name, value)
    return web.json_response(asdict(wanted))


class Running:
    """A simulator being served; ``stop`` and ``start`` again keep the port: ``async with serve(app) as running: …``.

    With ``tls`` it is served by https; another context counts from the next ``start``.
    """

    def __init__(self, app: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.app, self.host, self.port, self.tls = app, host, port, tls
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    async def start(self) -> None:
        self._runner = web.AppRunner(
            self.app, handle_signals=False, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> "Running":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def serve(
    app: web.Application, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> Running:
    return Running(app, host, port, tls)
