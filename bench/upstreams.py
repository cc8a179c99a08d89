"""Simulated upstream systems in a process of their own, so that what the measuring process holds is the gateway's.

``python bench/upstreams.py '{"speed": 20, "seed": 1, "kinds": {"onyx": {}}}'``: ``kinds`` gives each simulator its
further arguments. The first line that it prints is JSON, ``{"control": URL, "systems": {KIND: URL}}``; it ends when its
standard input does. ``Upstreams`` is how the one that started it speaks with it.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from sources import registry
from sources.elastic.simulator.world import ElasticWorld
from sources.feldera.simulator.world import FelderaWorld
from sources.lucidworks.runs import job_id
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.onyx.simulator.world import OnyxWorld
from sources.simulation import REQUESTS, WORLD, Clock, Running, World, serve
from sources.zensearch.mapping import inferred
from sources.zensearch.simulator.world import ZenSearchWorld

#: external id, that of its connector, the upstream's word for its state, and its counter of documents; None where
#: nothing is told
Told = tuple[str, str, str | None, int | None]


class Upstreams:
    """The process, as seen by the one that started it."""

    def __init__(self, session: aiohttp.ClientSession, control: str, urls: Mapping[str, str]) -> None:
        self._session, self._control, self.urls = session, control, urls

    async def fault(self, kind: str, switches: Mapping[str, Any]) -> None:
        """These switches on, all others off."""
        async with self._session.post(f"{self.urls[kind]}/_simulator/faults", json=switches) as response:
            response.raise_for_status()

    async def tell(self, path: str) -> Any:
        """``freeze``, ``stop/KIND``, ``start/KIND``, ``world/KIND`` or ``requests/KIND``."""
        async with self._session.post(f"{self._control}/{path}") as response:
            response.raise_for_status()
            return await response.json()


@asynccontextmanager
async def upstreams(kinds: Mapping[str, Mapping[str, Any]], *, speed: float, seed: int) -> AsyncIterator[Upstreams]:
    """Run these simulators for as long as the block runs."""
    wanted = json.dumps({"speed": speed, "seed": seed, "kinds": kinds})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, wanted, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        addresses = json.loads(await process.stdout.readline())
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Upstreams(session, addresses["control"], addresses["systems"])
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
            await process.wait()


# ---- in the process


class _Stage:
    """All simulators on one clock that can be held."""

    def __init__(self, kinds: Mapping[str, Mapping[str, Any]], speed: float, seed: int) -> None:
        self._held: float | None = None
        self.running: dict[str, Running] = {}
        for name, arguments in kinds.items():
            simulator = registry.kinds()[name].simulator
            assert simulator is not None
            make: Callable[..., web.Application] = simulator
            self.running[name] = serve(make(seed=seed, clock=Clock(speed=speed, wall=self._wall), **arguments))

    def _wall(self) -> float:
        return time.monotonic() if self._held is None else self._held

    def control(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/freeze", self._freeze)
        app.router.add_post("/{what}/{kind}", self._command)
        return app

    async def _freeze(self, request: web.Request) -> web.Response:
        self._held = time.monotonic()
        return web.json_response(None)

    async def _command(self, request: web.Request) -> web.Response:
        running = self.running[request.match_info["kind"]]
        match request.match_info["what"]:
            case "stop":
                await running.stop()
            case "start":
                await running.start()
            case "requests":
                return web.json_response(len(running.app[REQUESTS]))
            case "world":
                return web.json_response(_served(running.app[WORLD]))
            case _:
                raise web.HTTPNotFound
        return web.json_response(None)


def _served(world: World) -> dict[str, Any]:
    """What the world serves: connectors by external id with their names, and jobs."""
    match world:
        case OnyxWorld():
            names = {str(pair.id): pair.name for pair in world.visible}
            names |= {f"federated:{connector.id}": connector.name for connector in world.federated}
            jobs: list[Told] = [(str(a.id), str(a.pair), a.status, a.total_docs) for a in world.attempts.values()]
        case ElasticWorld():
            names = {name: sent["name"] for name, sent in world.connectors.items() if not sent["deleted"]}
            jobs = [
                (name, job["connector"]["id"], job["status"], job["indexed_document_count"])
                for name, job in world.jobs.items()
            ]
        case LucidworksWorld():
            sources = {f"{source.collection}/{source.id}": source for source in world.sources.values()}
            names = {name: source.name for name, source in sources.items()}
            jobs = [
                (job_id(name, crawl.started), name, crawl.state, crawl.total)
                for name, source in sources.items()
                for crawl in source.crawls
            ]
        case FelderaWorld():
            runs = list(_endpoints(world))
            names = dict(run[:2] for run in runs)
            jobs = [(f"{name}@{incarnation}", name, None, None) for name, _, incarnation in runs if incarnation]
        case ZenSearchWorld():
            names = {connector.id: connector.name for connector in world.connectors.values()}
            moments = {name: world.connectors[name].last_sync for name in names}
            found = {name: inferred(name, moment.replace(microsecond=0)) for name, moment in moments.items() if moment}
            jobs = [(job.external_id, name, None, None) for name, job in found.items()]
        case _:
            raise TypeError(f"no telling of a {type(world).__name__}")
    return {"connectors": names, "jobs": jobs}


def _endpoints(world: FelderaWorld) -> Iterator[tuple[str, str, str | None]]:
    """External id, name and incarnation; one that came by HTTP is shown by a process that serves only."""
    for pipeline in world.pipelines.values():
        for endpoint in pipeline.endpoints:
            if pipeline.is_serving or not endpoint.ad_hoc:
                incarnation = str(pipeline.incarnation) if pipeline.is_serving else None
                yield f"{pipeline.name}/{endpoint.name}", endpoint.name, incarnation


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it tells of more than a client that has gone."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


async def _main(wanted: Mapping[str, Any]) -> None:
    # answers that never come are waited for by nobody: the loop would tell of each that is collected
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    stage = _Stage(wanted["kinds"], wanted["speed"], wanted["seed"])
    async with AsyncExitStack() as stack:
        for running in stage.running.values():
            await stack.enter_async_context(running)
        control = await stack.enter_async_context(serve(stage.control()))
        urls = {name: running.url for name, running in stage.running.items()}
        sys.stdout.write(json.dumps({"control": control.url, "systems": urls}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
