"""What the tests of Elastic's payloads stand on: the examples, a hand-made Elasticsearch, and the simulated one."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from sources.elastic import SOURCE
from sources.elastic.client import ElasticSource
from sources.elastic.simulator import API_KEY, simulator
from sources.simulation import FAULTS, Clock, Faults, serve
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Canned, Reply, canned
from tests.sources.contract import START, Hand
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
