"""What the tests of Elastic's payloads stand on: the examples, a hand-made Elasticsearch, and the simulated one."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from connectory.model import Known, KnownConnector, Observation
from sources.elastic import SOURCE
from sources.elastic.simulator.app import simulator
from sources.elastic.simulator.checks import API_KEY
from sources.elastic.simulator.documents import Document, api_time, new_connector, new_job, snapshot
from sources.elastic.simulator.world import ElasticWorld
from sources.elastic.source import ElasticSource
from sources.simulation import FAULTS, REQUESTS, WORLD, Clock, Faults, Running, serve
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Canned, Reply, canned
from tests.sources.contract import START, Hand, remember
from tests.sources.payloads import examples

FOLDER = EXAMPLES / "elastic"
FILES = examples(FOLDER)


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def documents(folder: str) -> dict[str, Any]:
    """Each example document of a folder, alone or in a list, by file and place."""
    found = {}
    for name in FILES:
        if name.startswith(f"{folder}/") and name.endswith(".response.json"):
            content = load(name)
            if "results" in content:
                found.update({f"{name}[{place}]": entry for place, entry in enumerate(content["results"])})
            elif "status" in content:
                found[name] = content
    return found


CONNECTORS, JOBS = documents("connector"), documents("sync_job")


TIMELINES = [name for name in FILES if name.startswith("timelines/")]
EMPTY = load("connector/list.empty.response.json")


PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


def served(whole: Any, **of: Any) -> Callable[[Asked], Reply]:
    """A list, or another for a status or a connector that is asked for, window by window."""

    def answer(asked: Asked) -> Reply:
        body = of.get(asked.query.get("status") or asked.query.get("connector_id") or "", whole)
        if isinstance(body, dict) and "results" in body and "from" in asked.query:
            offset, size = int(asked.query["from"]), int(asked.query["size"])
            body = {**body, "results": body["results"][offset : offset + size]}
        return Reply(body, headers=PRODUCT)

    return answer


@asynccontextmanager
async def answering(connectors: Any = None, jobs: Any = None) -> AsyncIterator[tuple[Canned, ElasticSource]]:
    """A hand-made Elasticsearch by what it answers for its two lists, and a source that reads it."""
    lists = {"GET /_connector": connectors or served(EMPTY), "GET /_connector/_sync_job": jobs or served(EMPTY)}
    async with canned(lists) as upstream:
        source = SOURCE.open(settings(upstream.url))
        assert isinstance(source, ElasticSource)
        try:
            yield upstream, source
        finally:
            await source.close()


def settings(url: str) -> Any:
    return SOURCE.settings.model_validate({"name": "e", "kind": "elastic", "url": url, "api_key": API_KEY})


class Door:
    """The simulator by plain requests; ``ids`` name a connected connector, a configured one, a pending and a
    running job."""

    def __init__(self, session: aiohttp.ClientSession, url: str, faults: Faults) -> None:
        self.session, self.url, self.faults = session, url, faults
        self.ids: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Mapping[str, str]]:
        url = self.url + path.format(**self.ids)
        async with self.session.request(method, url, json=body, **options) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def documents(self, path: str) -> list[Any]:
        return list((await self.ask("GET", path))[1]["results"])


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    hand = Hand()
    app = simulator(seed=2, clock=Clock(start=START, wall=hand))
    headers = {"Authorization": f"ApiKey {API_KEY}"}
    async with serve(app) as running, aiohttp.ClientSession(headers=headers) as session:
        door = Door(session, running.url, app[FAULTS])
        connectors = await door.documents("/_connector?size=1000")
        hand.move(240)
        jobs = await door.documents("/_connector/_sync_job?size=1000")
        door.ids = {
            "c": next(c["id"] for c in connectors if c["name"] == "Data lake"),
            "n": next(c["id"] for c in connectors if c["status"] == "configured"),
            "p": next(j["id"] for j in jobs if j["status"] == "pending"),
            "r": next(j["id"] for j in jobs if j["status"] == "in_progress"),
        }
        yield door


#: No rules: most of the time of a large world would go into reading them, and the payloads' tests read such.
FILTERING: list[Document] = [{"active": {}, "domain": "DEFAULT", "draft": {}}]


class Elastic:
    """An empty simulated Elasticsearch to be filled by hand, and a source that reads it."""

    def __init__(self) -> None:
        self.app = simulator(clock=Clock(start=START, wall=Hand()), connectors=0, jobs_per_connector=0)
        world = self.app[WORLD]
        assert isinstance(world, ElasticWorld)
        self.world = world
        self.running: Running = serve(self.app)

    @property
    def requests(self) -> list[str]:
        return self.app[REQUESTS]

    def asked(self, text: str) -> list[str]:
        return [request for request in self.requests if text in request]

    def open(self, **changes: Any) -> ElasticSource:
        entry = {"name": "e", "kind": "elastic", "timeout": 5.0, "url": self.running.url, "api_key": API_KEY, **changes}
        source = SOURCE.open(SOURCE.settings.model_validate(entry))
        assert isinstance(source, ElasticSource)
        return source

    def connector(self, identity: str, **values: Any) -> Document:
        given = {"name": identity, "index_name": f"search-{identity}", "service_type": "mysql"}
        self.world.connectors[identity] = document = new_connector(identity, FILTERING, given)
        document.update(values)
        self.world.reorder()
        return document

    def job(self, identity: str, age: float, *, of: str = "c1", status: str = "completed", **values: Any) -> Document:
        """A job created ``age`` seconds before the start; add older ones first."""
        connector = self.world.connectors.get(of) or new_connector(of, FILTERING, {})
        job = new_job(identity, snapshot(connector, "full"), "full", "scheduled", api_time(ago(age)))
        job.update({"status": status, **values})
        self.world.add_job(job)
        return job


def ago(seconds: float) -> datetime:
    return START - timedelta(seconds=seconds)


@asynccontextmanager
async def reading(elastic: Elastic, **changes: Any) -> AsyncIterator[ElasticSource]:
    source = elastic.open(**changes)
    try:
        yield source
    finally:
        await source.close()


@asynccontextmanager
async def a_server() -> AsyncIterator[tuple[Elastic, ElasticSource]]:
    """An empty server of its own for one case of many."""
    elastic = Elastic()
    async with elastic.running, reading(elastic) as source:
        yield elastic, source


def since(seconds: float, open_jobs: dict[str, str | None] | None = None, **connectors: str | None) -> Known:
    """Known: jobs up to that many seconds before the start, these open ones, and connectors with fingerprints."""
    return Known(
        connectors={name: KnownConnector(fingerprint=value) for name, value in connectors.items()},
        open_jobs=open_jobs or {},
        newest_job_at=ago(seconds),
    )


def ids(seen: Observation) -> set[str]:
    return {job.external_id for job in seen.jobs}


def remembered(known: Known, seen: Observation) -> None:
    """As the engine does it: the memory stays the same object."""
    memory = remember(known, seen)
    known.connectors, known.open_jobs, known.newest_job_at = memory.connectors, memory.open_jobs, memory.newest_job_at
