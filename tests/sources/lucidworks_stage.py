"""What the tests of Lucidworks stand on: hand-made servers, the simulated one, and the example payloads."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from connectory.model import Details, Known, KnownConnector
from sources.lucidworks.settings import LucidworksSettings
from sources.lucidworks.simulator.app import simulator
from sources.lucidworks.simulator.checks import PASSWORD, USERNAME
from sources.lucidworks.simulator.population import populate
from sources.lucidworks.simulator.views import Build
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.lucidworks.source import LucidworksSource
from sources.simulation import WORLD, Clock, serve
from tests.paths import EXAMPLES
from tests.sources.canned import Canned, Reply, canned
from tests.sources.contract import START, Hand
from tests.sources.onyx_stage import Answer
from tests.sources.payloads import examples

LUCIDWORKS = EXAMPLES / "lucidworks"
FILES = examples(LUCIDWORKS)
STATUSES = [name for name in FILES if re.search(r"/status\.", name)]
HISTORIES = [name for name in FILES if re.search(r"search_2x/.*/history\.", name)]
LISTS = [name for name in FILES if re.search(r"/datasources?\.(list|get)", name)]
ALL_STATUS = "search_2x/implementation/all_status.response.json"
ALL_HISTORY = "search_2x/implementation/all_history.response.json"
EXCEPTION = "search_2x/implementation/status.exception.response.json"
COLLECTIONS = "search_2x/documented/collections.response.json"
TIMELINE = "search_2x/timelines/start_finish_restart_stop.json"
FUSION_RUNS = [f"fusion/{name}.response.json" for name in ("v1_job.finished", "v1_job.running", "v1_job.stopped")]
FUSION_RUNS += [f"fusion/{name}.response.json" for name in ("v5_job.running", "v5_job.success")]
FUSION_LIST = "fusion/jobs.list.response.json"
FUSION_HISTORIES = ["fusion/jobs.history.response.json", "fusion/v1_history.entries.response.json"]
MISSING = Reply(
    {"http_status_name": "Not Found", "http_status_code": 404, "errors": [{"message": "gone", "key": ""}]}, 404
)
EMPTY = Reply(text="", content_type="application/json")


def read(name: str) -> Any:
    return json.loads((LUCIDWORKS / name).read_text())


def at(minute: int, second: int = 0) -> str:
    return f"2013-03-04T09:{minute:02}:{second:02}+0000"


def moment(minute: int, second: int = 0) -> datetime:
    return datetime(2013, 3, 4, 9, minute, second, tzinfo=UTC)


def listed(number: int | str, **changes: Any) -> dict[str, Any]:
    return {"id": number, "type": "web", "crawler": "lucid.aperture", "name": f"source {number}", **changes}


def status(number: int | str, state: str = "FINISHED", minute: int | None = 15, **changes: Any) -> dict[str, Any]:
    """A crawl that began at this minute and, if it is over, ended half a minute later."""
    over = state not in ("STARTING", "RUNNING", "FINISHING", "STOPPING", "ABORTING")
    return {
        "id": number,
        "job_id": str(number),
        "batch_job": False,
        "crawl_state": state,
        "crawl_started": None if minute is None else at(minute),
        "crawl_stopped": at(minute, 30) if over and minute is not None else None,
        "num_new": 5,
        "num_updated": 0,
        "num_unchanged": 0,
        "num_failed": 0,
        "num_total": 5,
        **changes,
    }


def path(collection: str, *rest: object) -> str:
    return "GET /api/" + "/".join(map(str, ("collections", collection, "datasources", *rest)))


def one_collection(
    sources: Iterable[Any], statuses: Iterable[Any] | None = None, name: str = "c", **histories: Answer
) -> dict[str, Answer]:
    """A server with one collection; with ``statuses`` it answers for all of them. Histories go by ``h<id>``."""
    answers: dict[str, Answer] = {"GET /api/collections": Reply([{"name": name}]), path(name): Reply(list(sources))}
    if statuses is not None:
        answers[path(name, "all", "status")] = Reply(list(statuses))
    for key, answer in histories.items():
        answers[path(name, key.removeprefix("h"), "history")] = answer
    return answers


def configured(url: str, **changes: Any) -> LucidworksSettings:
    return LucidworksSettings.model_validate({"name": "sim", "kind": "lucidworks", "url": url, **changes})


@asynccontextmanager
async def lucidworks(answers: Mapping[str, Answer], **settings: Any) -> AsyncIterator[tuple[LucidworksSource, Canned]]:
    async with canned(answers) as upstream:
        source = LucidworksSource(configured(f"{upstream.url}/api", **settings))
        try:
            yield source, upstream
        finally:
            await source.close()


def job(minute: int, source: str = "c/6") -> str:
    return f"{source}@{at(minute)}"


def knows(
    source: str = "c/6", *, latest: int | None = None, open_jobs: Iterable[int] = (), fingerprint: str | None = "old"
) -> Known:
    """One data source that is known, its newest crawl and its open ones by the minute of their start."""
    row = KnownConnector(
        fingerprint=fingerprint, latest_job=None if latest is None else job(latest, source), history_read=True
    )
    return Known(connectors={source: row}, open_jobs={job(minute, source): source for minute in open_jobs})


def told(details: Details | None) -> dict[str, Any]:
    assert details is not None
    values = json.loads(details.json)
    assert isinstance(values, dict)
    return values


class Api:
    """The simulator's answers, as the account that is let in gets them."""

    def __init__(self, session: aiohttp.ClientSession, world: LucidworksWorld, url: str, hand: Hand) -> None:
        self.session, self.world, self.url, self.hand = session, world, url, hand

    async def ask(self, method: str, address: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and decoded body; the text where it is no JSON."""
        options.setdefault("headers", {"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)})
        options |= {"json": body} if body is not None else {}
        async with self.session.request(method, f"{self.url}/api{address}", **options) as response:
            text = await response.text()
            self.headers = response.headers
            is_json = response.content_type == "application/json" and text
            return response.status, json.loads(text) if is_json else text or None


@asynccontextmanager
async def simulated(build: Build | None = None, *, populated: bool = True, seed: int = 7) -> AsyncIterator[Api]:
    hand = Hand()
    app = simulator(seed=seed, clock=Clock(start=START, wall=hand), build=build or Build(), populated=populated)
    world = app[WORLD]
    assert isinstance(world, LucidworksWorld)
    async with serve(app) as running, aiohttp.ClientSession() as session:
        yield Api(session, world, running.url, hand)


def a_world(seed: int = 3) -> LucidworksWorld:
    world = LucidworksWorld(seed=seed, start=START)
    populate(world)
    return world
