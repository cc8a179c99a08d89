"""The ground that all simulators stand on: a clock that can run faster, fault switches, and a server.

A simulator is a real aiohttp application with its upstream's real paths, over a world that moves by itself. The world
is a discrete-event simulation: ``advance(now)`` runs everything due until ``now``, so the same seed gives the same
world however often it is asked. Simulators are part of the product: the demo runs on them.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from aiohttp import web

from sources.simulation.faults import Faults, edited


class Clock:
    """Simulated time: starts at ``start`` and runs ``speed`` times as fast as the wall clock.

    Tests pass ``wall``, a function that tells seconds.
    """

    def __init__(
        self, *, start: datetime | None = None, speed: float = 1.0, wall: Callable[[], float] | None = None
    ) -> None:
        self._wall = wall or _monotonic
        self._zero = self._wall()
        self.start = start or datetime.now(UTC)
        self.speed = speed

    def now(self) -> datetime:
        return self.start + timedelta(seconds=(self._wall() - self._zero) * self.speed)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


class World:
    """A discrete-event simulation. Subclasses fill it in ``__init__`` and schedule what happens with ``after``."""

    def __init__(self, *, seed: int, start: datetime) -> None:
        self.random = random.Random(seed)
        self.now = start
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._skew = 0.0

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let ``happening`` run ``seconds`` of simulated time from the world's present."""
        moment = self.now + timedelta(seconds=seconds)
        heapq.heappush(self._agenda, (moment, next(self._order), happening))

    def advance(self, now: datetime, *, skew: float = 0.0) -> None:
        """Run everything that is due until ``now``, in order, each at its own moment.

        ``skew``: so many seconds the world's clock is wrong by now. What it has written down stays as it is, and what
        is due comes no sooner and no later for it.
        """
        step = timedelta(seconds=skew - self._skew)
        if step:
            self._skew = skew
            self._agenda = [(moment + step, order, happening) for moment, order, happening in self._agenda]
            self.now += step
        now += timedelta(seconds=skew)
        while self._agenda and self._agenda[0][0] <= now:
            self.now, _, happening = heapq.heappop(self._agenda)
            happening()
        self.now = max(self.now, now)


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
        if faults.hang:
            await asyncio.Event().wait()
        if faults.delay:
            await asyncio.sleep(faults.delay)
        if faults.html_status is not None:
            page = f"<html><head><title>{faults.html_status}</title></head><body>nginx</body></html>"
            return web.Response(status=faults.html_status, text=page, content_type="text/html")
        if faults.reject_credentials:
            return rejection(request)
        if faults.rate_limited:
            refusal = limited()
            if faults.retry_after is not None:
                refusal.headers["Retry-After"] = f"{faults.retry_after:g}"
            return refusal
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
