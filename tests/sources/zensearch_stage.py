"""What the tests of ZenSearch stand on: a hand-made ZenSearch, the simulated one, and the example payloads."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from connectory.model import ConnectorFact, JobFact, Known, KnownConnector
from sources.simulation import WORLD, Clock, serve
from sources.zensearch import mapping
from sources.zensearch.settings import ZenSearchSettings
from sources.zensearch.simulator.app import simulator
from sources.zensearch.simulator.checks import TOKEN
from sources.zensearch.simulator.population import load
from sources.zensearch.simulator.views import MANNERS, Manners
from sources.zensearch.simulator.world import ZenSearchWorld
from sources.zensearch.source import ZenSearchSource
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Canned, Reply, canned
from tests.sources.contract import START, Hand
from tests.sources.payloads import examples

ZENSEARCH = EXAMPLES / "zensearch"
LIST = "/v1/connectors"
Answer = Reply | Callable[[Asked], Reply]
FILES = examples(ZENSEARCH)
LISTS = [
    "assumed/connectors_list.empty.response.json",
    "assumed/connectors_list.every_status.response.json",
    "documented/connectors_list.response.json",
    "documented/success_envelope_with_meta.response.json",
]
SINGLES = ["assumed/connector_create.response.json", "assumed/connector_get.response.json"]
JOBS = [name for name in FILES if "/sync_status." in name] + ["documented/sync_trigger.response.json"]
TIMELINE = "assumed/sync_job_timeline.json"
ID = "job_5d11e4"


def connector(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"conn_{number}",
        "name": f"connector {number}",
        "type": "s3",
        "status": "active",
        "collection": "col_docs",
        "lastSync": "2026-08-22T09:00:00Z",
        "createdAt": "2026-02-01T12:30:00Z",
        **changes,
    }


def job(number: int, status: str = "running", **changes: Any) -> dict[str, Any]:
    return {
        "jobId": f"job_{number}",
        "status": status,
        "progress": {"collected": 150, "parsed": 120, "indexed": 100},
        "startedAt": "2026-08-22T09:30:00Z",
        **changes,
    }


def listed(*entries: Any) -> Reply:
    return Reply({"data": list(entries)})


def told(sent: Any) -> Reply:
    return Reply({"data": sent})


def job_path(connector: int, job: int) -> str:
    return f"{LIST}/conn_{connector}/sync/job_{job}"


def known(*, open_jobs: Mapping[int, int] | None = None, latest: Mapping[int, str] | None = None) -> Known:
    """What the engine remembers: open jobs by number → connector, and the newest job of connectors."""
    return Known(
        connectors={f"conn_{number}": KnownConnector(latest_job=newest) for number, newest in (latest or {}).items()},
        open_jobs={f"job_{number}": f"conn_{owner}" for number, owner in (open_jobs or {}).items()},
    )


def configured(url: str, **changes: Any) -> ZenSearchSettings:
    return ZenSearchSettings.model_validate(
        {"name": "sim", "kind": "zensearch", "url": url, "token": "zen_x", **changes}
    )


@asynccontextmanager
async def zensearch(
    list_answer: Answer, jobs: Mapping[tuple[int, int], Answer] | None = None, **settings: Any
) -> AsyncIterator[tuple[ZenSearchSource, Canned]]:
    """``jobs``: (connector, job) → answer."""
    answers = {f"GET {job_path(*numbers)}": answer for numbers, answer in (jobs or {}).items()}
    async with canned({f"GET {LIST}": list_answer, **answers}) as upstream:
        source = ZenSearchSource(configured(upstream.url, **settings))
        try:
            yield source, upstream
        finally:
            await source.close()


def read(name: str) -> Any:
    return json.loads((ZENSEARCH / name).read_text())


def a_job(entry: Any) -> JobFact:
    """The fact of a job that has nothing to complain about."""
    fact, complaints = mapping.job(entry, ID, "conn_1", seen_at=START)
    assert not complaints
    return fact


def details_of(fact: ConnectorFact | JobFact) -> dict[str, Any]:
    assert fact.details is not None
    found = json.loads(fact.details.json)
    assert isinstance(found, dict)
    return found


class Api:
    """The simulator's answers."""

    def __init__(self, session: aiohttp.ClientSession, world: ZenSearchWorld, url: str, hand: Hand) -> None:
        self.session, self.world, self.url, self.hand = session, world, url, hand
        self.manners = Manners()

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = options.pop("headers", {"Authorization": f"Bearer {TOKEN}"})
        options |= {"json": body} if body is not None else {}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            text = await response.text()
            self.headers = response.headers
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def simulated(*, entries: Iterable[dict[str, Any]] | None = None, **manners: Any) -> AsyncIterator[Api]:
    """The simulator with its cast, or with a world of ``entries`` that no schedule moves."""
    hand = Hand()
    clock = Clock(start=START, wall=hand)
    app = simulator(seed=7, clock=clock) if entries is None else simulator(seed=7, clock=clock, size=0)
    app[MANNERS].__dict__.update(manners)
    world = app[WORLD]
    assert isinstance(world, ZenSearchWorld)
    load(world, entries or ())
    async with serve(app) as running, aiohttp.ClientSession() as session:
        api = Api(session, world, running.url, hand)
        api.manners = app[MANNERS]
        yield api
