"""What the tests of Onyx stand on: a hand-made Onyx, the simulated one, and the example payloads."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from sources.onyx.settings import OnyxSettings
from sources.onyx.simulator.app import simulator
from sources.onyx.simulator.checks import TOKEN
from sources.onyx.simulator.population import load
from sources.onyx.simulator.world import OnyxWorld
from sources.onyx.source import OnyxSource
from sources.simulation import WORLD, Clock, serve
from tests.paths import EXAMPLES
from tests.sources.canned import Asked, Canned, Reply, canned
from tests.sources.contract import START, Hand

ONYX = EXAMPLES / "onyx"
LIST = "/api/manage/admin/connector/indexing-status"
NOW = datetime(2026, 8, 22, 9, 30, tzinfo=UTC)
Answer = Reply | Callable[[Asked], Reply]


def pair(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "cc_pair_id": number,
        "name": f"pair {number}",
        "source": "web",
        "access_type": "public",
        "cc_pair_status": "ACTIVE",
        "in_progress": False,
        "in_repeated_error_state": False,
        "last_finished_status": "success",
        "last_status": "success",
        "last_success": "2026-08-22T09:00:00Z",
        "is_editable": True,
        "docs_indexed": 10,
        "latest_index_attempt_docs_indexed": 1,
        **changes,
    }


def attempt(number: int, status: str = "success", **changes: Any) -> dict[str, Any]:
    """Started the later the higher its number."""
    moment = (NOW - timedelta(days=1) + timedelta(minutes=number)).isoformat()
    return {
        "id": number,
        "status": status,
        "from_beginning": False,
        "new_docs_indexed": 1,
        "total_docs_indexed": 2,
        "docs_removed_from_index": 0,
        "error_msg": None,
        "error_count": 0,
        "full_exception_trace": None,
        "time_started": moment,
        "time_updated": moment,
        "poll_range_start": None,
        "poll_range_end": None,
        **changes,
    }


def groups(*entries: Any) -> Reply:
    return Reply([{"source": "web", "summary": {}, "current_page": 1, "total_pages": 1, "indexing_statuses": entries}])


def pages(items: Iterable[dict[str, Any]]) -> Callable[[Asked], Reply]:
    """The items page by page, as the server cuts them."""
    rows = list(items)

    def answer(asked: Asked) -> Reply:
        size, number = int(asked.query["page_size"]), int(asked.query["page_num"])
        return Reply({"items": rows[number * size : (number + 1) * size], "total_items": len(rows)})

    return answer


def attempts_path(number: int) -> str:
    return f"/api/manage/admin/cc-pair/{number}/index-attempts"


def configured(url: str, **changes: Any) -> OnyxSettings:
    return OnyxSettings.model_validate({"name": "sim", "kind": "onyx", "url": url, "token": "on_x", **changes})


def errors_path(number: int) -> str:
    return f"/api/manage/admin/cc-pair/{number}/errors"


def stages_path(attempt: int) -> str:
    return f"/api/manage/admin/index-attempt/{attempt}/stage-metrics"


@asynccontextmanager
async def onyx(
    listed: Answer,
    attempts: Mapping[int, Answer] | None = None,
    *,
    errors: Mapping[int, Answer] | None = None,
    stages: Mapping[int, Answer] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[OnyxSource, Canned]]:
    """``attempts`` and ``errors`` by pair, ``stages`` by attempt."""
    answers = {f"GET {attempts_path(number)}": answer for number, answer in (attempts or {}).items()}
    answers |= {f"GET {errors_path(number)}": answer for number, answer in (errors or {}).items()}
    answers |= {f"GET {stages_path(number)}": answer for number, answer in (stages or {}).items()}
    async with canned({f"POST {LIST}": listed, **answers}) as upstream:
        source = OnyxSource(configured(f"{upstream.url}/api", **settings))
        try:
            yield source, upstream
        finally:
            await source.close()


def read(name: str) -> Any:
    return json.loads((ONYX / name).read_text())


def entries(name: str) -> list[dict[str, Any]]:
    return [entry for group in read(name) for entry in group["indexing_statuses"]]


class Api:
    """The simulator's answers, as an administrator gets them."""

    def __init__(self, session: aiohttp.ClientSession, world: OnyxWorld, url: str, hand: Hand) -> None:
        self.session, self.world, self.url, self.hand = session, world, url, hand

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = options.pop("headers", {"Authorization": f"Bearer {TOKEN}"})
        options |= {"json": body} if body is not None else {}
        url = f"{self.url}/api{path}"
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            text = await response.text()
            self.headers = response.headers
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def simulated(*, size: int = 24, listed: str | None = None) -> AsyncIterator[Api]:
    hand = Hand()
    app = simulator(seed=7, clock=Clock(start=START, wall=hand), size=0 if listed else size)
    world = app[WORLD]
    assert isinstance(world, OnyxWorld)
    if listed:
        load(world, entries(listed))
    async with serve(app) as running, aiohttp.ClientSession() as session:
        yield Api(session, world, running.url, hand)
