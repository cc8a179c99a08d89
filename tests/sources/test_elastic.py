"""The Elastic adapter: the contract of all adapters, and what only Elastic's lists make necessary (elastic.md §3)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

import sources.elastic.simulator
from connectory.model import ConnectorStatus, JobStatus, Known, KnownConnector, Observation, SystemErrorCode
from schema.connector_details import ElasticConnectorDetails
from schema.job_details import ElasticJobDetails
from sources.base import SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.elastic import SOURCE, api, calls, client, history, jobs, listing, places
from sources.elastic.client import ElasticSource
from sources.elastic.documents import Document, api_time, new_connector, new_job, snapshot
from sources.elastic.mapping import CONNECTOR_DETAILS, JOB_DETAILS, SNAPSHOT_DETAILS
from sources.elastic.refusals import refusal
from sources.elastic.simulator import API_KEY, LIMITED_API_KEY, PASSWORD, TOKEN, USERNAME, simulator
from sources.elastic.world import ElasticWorld
from sources.simulation import FAULTS, REQUESTS, WORLD, Clock, Running, serve
from tests.sources.cases import cases
from tests.sources.contract import START, Hand, SourceContract, check_job, collect, remember

#: No rules: most of the time of a large world would go into reading them, and the payloads' tests read such.
_FILTERING: list[Document] = [{"active": {}, "domain": "DEFAULT", "draft": {}}]
#: What a page of jobs and the result window are made where a test needs a list that is longer: 300 and 900 in place of
#: 1,000 and 10,000, in every module that reads the numbers.
_PAGE, _WINDOW = 300, 900
_SMALLER = {
    (listing, jobs, history): {"PAGE": _PAGE},
    (history,): {"_BATCH": _PAGE},
    (api, client, history, jobs, listing, places): {"RESULT_WINDOW": _WINDOW},
    (calls, sources.elastic.simulator): {"_WINDOW": _WINDOW},
}


class TestElastic(SourceContract):
    kind = SOURCE

    def jobs_held(self, world: ElasticWorld) -> set[str]:
        return set(world.jobs)

    async def test_poll_tells_sound_jobs(self, source: ElasticSource) -> None:  # type: ignore[override]
        """Jobs outlive their connectors here: an orphan tells the id of one that is in no list (elastic.md §5)."""
        seen = await source.poll(Known())
        assert len({job.external_id for job in seen.jobs}) == len(seen.jobs) > 0
        orphans = {job.connector for job in seen.jobs} - {fact.external_id for fact in seen.connectors}
        assert len(orphans) == 1
        for job in seen.jobs:
            check_job(job)
            assert job.connector


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
        self.world.connectors[identity] = document = new_connector(identity, _FILTERING, given)
        document.update(values)
        self.world.reorder()
        return document

    def job(self, identity: str, age: float, *, of: str = "c1", status: str = "completed", **values: Any) -> Document:
        """A job created ``age`` seconds before the start; add older ones first."""
        connector = self.world.connectors.get(of) or new_connector(of, _FILTERING, {})
        job = new_job(identity, snapshot(connector, "full"), "full", "scheduled", api_time(ago(age)))
        job.update({"status": status, **values})
        self.world.add_job(job)
        return job


def ago(seconds: float) -> datetime:
    return START - timedelta(seconds=seconds)


@pytest.fixture
async def elastic() -> AsyncIterator[Elastic]:
    elastic = Elastic()
    async with elastic.running:
        yield elastic


@asynccontextmanager
async def reading(elastic: Elastic, **changes: Any) -> AsyncIterator[ElasticSource]:
    source = elastic.open(**changes)
    try:
        yield source
    finally:
        await source.close()


@pytest.fixture
async def source(elastic: Elastic) -> AsyncIterator[ElasticSource]:
    async with reading(elastic) as source:
        yield source


@asynccontextmanager
async def a_server() -> AsyncIterator[tuple[Elastic, ElasticSource]]:
    """An empty server of its own for one case of many."""
    elastic = Elastic()
    async with elastic.running, reading(elastic) as source:
        yield elastic, source


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> int:
    """A small result window and small pages of jobs, on both sides.

    How large they are is proved by test_a_first_poll_reads_the_newest_and_the_open_ones,
    test_a_full_window_is_told_from_an_overfull_one, test_more_new_jobs_than_the_list_tells and
    test_history_beyond_the_window_goes_connector_by_connector.
    """
    for modules, numbers in _SMALLER.items():
        for module in modules:
            for name, number in numbers.items():
                monkeypatch.setattr(module, name, number)
    return _WINDOW


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> int:
    """Small pages of connectors; test_all_pages_are_read proves how large they are."""
    monkeypatch.setattr(client, "_PAGE", 20)
    return 20


def since(seconds: float, open_jobs: dict[str, str | None] | None = None, **connectors: str | None) -> Known:
    """Known: jobs up to that many seconds before the start, these open ones, and connectors with fingerprints."""
    return Known(
        connectors={name: KnownConnector(fingerprint=value) for name, value in connectors.items()},
        open_jobs=open_jobs or {},
        newest_job_at=ago(seconds),
    )


def ids(seen: Observation) -> set[str]:
    return {job.external_id for job in seen.jobs}


# ---- settings


@cases(
    ("given", "complaint"),
    [
        ({}, "found none"),
        ({"api_key": "a", "token": "b"}, "found api_key beside token"),
        ({"username": "a"}, "belong together"),
        ({"api_key": "a", "password": "b"}, "belong together"),
        ({"username": "a", "password": "b", "token": "c"}, "found username and password beside token"),
    ],
)
def test_exactly_one_credential_is_wanted(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SOURCE.settings.model_validate({"name": "e", "kind": "elastic", "url": "http://127.0.0.1:1", **given})


def test_a_complaint_repeats_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        SOURCE.settings.model_validate(
            {"name": "e", "kind": "elastic", "url": "http://127.0.0.1:1", "api_key": "hidden-1", "token": "hidden-2"}
        )
    assert "hidden" not in str(caught.value)


async def test_a_pasted_line_end_does_no_harm(elastic: Elastic) -> None:
    async with reading(elastic, api_key=f"{API_KEY}\n") as source:
        assert (await source.poll(Known())).complete


@cases("credentials", [{"username": USERNAME, "password": PASSWORD}, {"token": TOKEN}])
async def test_other_credentials_open_it_too(elastic: Elastic, credentials: dict[str, str]) -> None:
    elastic.connector("c1")
    async with reading(elastic, api_key=None, **credentials) as source:
        assert [fact.external_id for fact in (await source.poll(Known())).connectors] == ["c1"]


async def test_a_missing_privilege_is_named(elastic: Elastic) -> None:
    async with reading(elastic, api_key=LIMITED_API_KEY) as source:
        with pytest.raises(SourceAuthFailed, match="monitor_connector") as caught:
            await source.poll(Known())
    assert caught.value.status == 403


async def test_another_server_is_told_from_elasticsearch(elastic: Elastic) -> None:
    async with reading(elastic, url=f"{elastic.running.url}/elsewhere") as source:
        with pytest.raises(SourceMismatch, match="no connector API there"):
            await source.poll(Known())


# ---- the list of connectors


async def test_all_pages_are_read(elastic: Elastic, source: ElasticSource) -> None:
    for number in range(4_001):
        elastic.connector(f"c{number:04}")
    seen = await source.poll(Known())
    assert len(seen.connectors) == 4_001
    assert seen.complete
    assert len(elastic.asked("/_connector?")) == 3  # of 2,000, 2,000 and 1


async def test_ties_that_swapped_between_pages_are_read_again(
    elastic: Elastic, source: ElasticSource, page: int
) -> None:
    documents = [elastic.connector(f"c{number:04}", index_name=None) for number in range(page + 1)]
    asked = 0

    def swapping(*, include_deleted: bool = False) -> list[Document]:
        nonlocal asked
        asked += 1
        # the first page of the first pass ends with the one that the second page begins with
        return documents if asked != 2 else [documents[page], *documents[1:page], documents[0]]

    elastic.world.connector_list = swapping  # type: ignore[method-assign]
    seen = await source.poll(Known())
    assert asked == 4
    assert len(seen.connectors) == page + 1
    assert seen.complete


async def test_a_list_that_stays_short_is_not_complete(elastic: Elastic, source: ElasticSource, page: int) -> None:
    documents = [elastic.connector(f"c{number:04}") for number in range(page + 1)]
    # a server that serves the first page whatever is asked for
    elastic.world.connector_list = lambda **_: _Repeating(documents)  # type: ignore[method-assign]
    seen = await source.poll(Known())
    assert len(seen.connectors) == page
    assert not seen.complete
    assert [problem.code for problem in seen.problems] == [SystemErrorCode.MISMATCH]
    assert len(elastic.asked("/_connector?")) == 4


class _Repeating(list[Document]):
    """Serves its first entries whatever is asked for, at most ``cap`` of them."""

    cap = 10_000

    def __getitem__(self, place: Any) -> Any:
        return super().__getitem__(slice(0, min(self.cap, place.stop - place.start)))


async def test_a_page_that_repeats_ends_the_reading(elastic: Elastic, source: ElasticSource, page: int) -> None:
    documents = _Repeating(elastic.connector(f"c{number:04}") for number in range(page + 1))
    documents.cap = 10
    elastic.world.connector_list = lambda **_: documents  # type: ignore[method-assign]
    seen = await source.poll(Known())
    assert len(seen.connectors) == 10
    assert not seen.complete
    assert len(elastic.asked("/_connector?")) == 4


async def test_two_short_readings_can_make_a_whole_one(elastic: Elastic, source: ElasticSource, page: int) -> None:
    documents = [elastic.connector(f"c{number:04}", index_name=None) for number in range(page + 1)]
    asked = 0

    def swapping(*, include_deleted: bool = False) -> list[Document]:
        nonlocal asked
        asked += 1
        # the first pass never shows the last one; the second shows it, and never the one before
        missed = {2: documents[0], 4: documents[page - 1]}.get(asked)
        if asked == 3:
            return [*documents[: page - 1], documents[page], documents[page - 1]]
        return documents if missed is None else [*documents[:page], missed if asked == 2 else documents[0]]

    elastic.world.connector_list = swapping  # type: ignore[method-assign]
    seen = await source.poll(Known())
    assert asked == 4
    assert len(seen.connectors) == page + 1
    assert seen.complete


async def test_a_full_window_is_told_from_an_overfull_one(elastic: Elastic, source: ElasticSource) -> None:
    for number in range(10_001):
        if number == 10_000:
            full = await source.poll(Known())
            assert len(full.connectors) == 10_000
            assert (full.complete, len(full.problems)) == (True, 0)
        elastic.world.connectors[str(number)] = {
            "id": str(number),
            "index_name": f"search-{number:05}",
            "service_type": ("s3", "jira")[number % 2],
            "status": "connected",
            "deleted": False,
        }
    elastic.world.reorder()
    overfull = await source.poll(Known())
    assert len(overfull.connectors) == 10_000
    assert (overfull.complete, len(overfull.problems)) == (False, 1)


async def test_an_unreadable_connector_costs_only_itself(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("sound")
    elastic.connector("broken", last_indexed_document_count=-1)
    seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["sound"]
    assert not seen.complete
    assert "connector broken: last_indexed_document_count" in seen.problems[0].message


async def test_soft_deleted_ones_are_absent(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("stays")
    elastic.connector("goes")
    elastic.world.delete_connector("goes")
    seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["stays"]
    assert seen.complete
    assert not elastic.asked("include_deleted")


async def test_one_marked_as_deleted_is_removed(elastic: Elastic, source: ElasticSource) -> None:
    gone = elastic.connector("gone", deleted=True)
    elastic.world.connector_list = lambda **_: [gone]  # type: ignore[method-assign]
    assert [fact.is_removed for fact in (await source.poll(Known())).connectors] == [True]


# ---- jobs


async def test_a_first_poll_reads_the_newest_and_the_open_ones(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("stuck", 90_000, status="in_progress")
    for number in range(1_500):
        elastic.job(f"j{number:04}", 80_000 - number)
    seen = await source.poll(Known())
    assert len(seen.jobs) == 1_001
    assert {"stuck", "j1499", "j0500"} <= ids(seen)
    assert not seen.problems


async def test_later_polls_stop_where_they_know_the_rest(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(3_000):
        elastic.job(f"j{number:04}", 60_000 - 10 * number)
    # the last job known is the newest but one hundred and fifty; with the overlap a hundred and eighty are wanted
    known = since(60_000 - 10 * 2_850, c1=None)
    seen = await source.poll(known)
    assert {f"j{number:04}" for number in range(2_821, 3_000)} <= ids(seen)
    remembered(known, seen)
    elastic.requests.clear()
    quiet = await source.poll(known)
    assert len(elastic.requests) == 2
    assert len(quiet.jobs) == 100


@cases("age", [10 * (_PAGE - 1.0), None])
async def test_an_oldest_first_server_is_read_from_its_end(window: int, age: float | None) -> None:
    """Two whole pages and a part of one."""
    async with a_server() as (elastic, source):
        elastic.connector("c1")
        for number in range(2 * _PAGE + 100):
            elastic.job(f"j{number:04}", 10 * (2 * _PAGE + 100 - number))
        newest_first = elastic.world.job_list
        elastic.world.job_list = lambda **asked: newest_first(**asked)[::-1]  # type: ignore[method-assign]
        for _ in range(2):
            seen = await source.poll(Known() if age is None else since(age, c1="-"))
            assert {f"j{number:04}" for number in range(_PAGE + 100, 2 * _PAGE + 100)} <= ids(seen)
            assert not seen.problems
        jobs, finished = await collect(source, Known(connectors={"c1": KnownConnector()}), frozenset({"c1"}))
        assert finished == {"c1"}
        assert [job.external_id for job in jobs] == [f"j{number:04}" for number in range(2 * _PAGE + 99, -1, -1)]


async def test_an_upgraded_server_turns_its_order_round(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(1_500):
        elastic.job(f"j{number:04}", 10 * (1_500 - number))
    newest_first = elastic.world.job_list
    elastic.world.job_list = lambda **asked: newest_first(**asked)[::-1]  # type: ignore[method-assign]
    await source.poll(since(30, c1="-"))
    elastic.world.job_list = newest_first  # type: ignore[method-assign]
    assert "j1499" in ids(await source.poll(since(30, c1="-")))


async def test_a_list_without_order_comes_to_an_end(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(450):
        elastic.job(f"j{number:04}", 10 * (450 - number))
    whole = elastic.world.job_list
    asked = 0

    def turning(**filters: Any) -> list[Document]:
        nonlocal asked
        asked += 1
        return list(whole(**filters))[:: 1 if asked % 2 else -1]

    elastic.world.job_list = turning  # type: ignore[method-assign]
    for _ in range(3):
        await source.poll(since(4_000, c1="-"))
    assert len(elastic.requests) < 30


async def test_more_new_jobs_than_the_list_tells(elastic: Elastic, source: ElasticSource) -> None:
    """With the window as large as it is."""
    await assert_a_gap_is_told(elastic, source, 10_000, oldest_first=False)


async def test_more_new_jobs_than_an_oldest_first_list_tells(
    elastic: Elastic, source: ElasticSource, window: int
) -> None:
    await assert_a_gap_is_told(elastic, source, window, oldest_first=True)


async def assert_a_gap_is_told(elastic: Elastic, source: ElasticSource, window: int, *, oldest_first: bool) -> None:
    for name in ("busy", "quiet", "changed"):
        elastic.connector(name)
    elastic.job("beyond", 20_001, of="changed")
    for number in range(window + 50):
        elastic.job(f"j{number:05}", 20_000 - number, of="busy")
    elastic.job("newest", 1, of="changed")
    if oldest_first:
        newest_first = elastic.world.job_list
        elastic.world.job_list = lambda **asked: newest_first(**asked)[::-1]  # type: ignore[method-assign]
    first = await source.poll(Known())
    quiet = next(fact.fingerprint for fact in first.connectors if fact.external_id == "quiet")
    seen = await source.poll(since(30_000, quiet=quiet, changed="-"))
    assert {"beyond", "newest"} <= ids(seen)
    assert any(f"more than {window:,} new jobs" in problem.message for problem in seen.problems)
    assert seen.complete
    assert not elastic.asked("connector_id=quiet")


async def test_an_oldest_first_list_can_hide_all_that_is_new(
    elastic: Elastic, source: ElasticSource, window: int
) -> None:
    elastic.connector("busy")
    elastic.connector("changed")
    for number in range(window + 50):
        elastic.job(f"j{number:05}", 20_000 - number, of="busy")
    elastic.job("newest", 1, of="changed")
    newest_first = elastic.world.job_list
    elastic.world.job_list = lambda **asked: newest_first(**asked)[::-1]  # type: ignore[method-assign]
    for _ in range(2):
        seen = await source.poll(since(20_000 - window - 100, changed="-"))
        assert "newest" in ids(seen)
        assert len(seen.problems) == 1


async def test_what_was_read_before_a_gap_is_not_told(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(1_500):
        elastic.job(f"j{number:04}", 10 * (1_500 - number))
    whole = elastic.world.job_list
    asked = 0

    def failing(**filters: Any) -> list[Document]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise refusal(503, "cluster_block_exception", "no master")
        return list(whole(**filters))

    elastic.world.job_list = failing  # type: ignore[method-assign]
    known = since(14_000, c1="-")
    broken = await source.poll(known)
    assert asked == 2
    assert not broken.jobs
    assert [problem.code for problem in broken.problems] == [SystemErrorCode.UPSTREAM_ERROR]
    mended = await source.poll(remember(known, broken))
    assert {f"j{number:04}" for number in range(100, 1_500)} <= ids(mended)


@cases("behind", [0, 1, 600])  # the list is short, or one longer, or longer than the window
@cases("ahead", [70, 250, 330])  # fewer than a look takes in, more than that, more than a page
async def test_jobs_behind_those_of_the_future_are_found(window: int, behind: int, ahead: int) -> None:
    """The clock was an hour ahead, and is right again: what is new stands below what seemed newer."""
    async with a_server() as (elastic, source):
        elastic.connector("c1")
        for number in range(330 + behind):
            elastic.job(f"old{number:05}", 20_000 - number)
        known = Known()
        remembered(known, await source.poll(known))
        for number in range(ahead):
            elastic.job(f"ahead{number:04}", -3_600 - number * 3_400 // ahead)
        remembered(known, await source.poll(known))
        assert known.newest_job_at is not None
        assert known.newest_job_at > ago(-6_900)
        for turn in range(3):
            new = {f"new{turn}-{number:03}" for number in range(90)}
            for number, name in enumerate(sorted(new)):
                elastic.job(name, -100 * turn - number)
            seen = await source.poll(known)
            assert new <= ids(seen)
            assert not seen.problems
            remembered(known, seen)
            elastic.requests.clear()
            await source.poll(known)
            assert len(elastic.requests) <= 4


@cases("recent", [70, 250, 330])  # fewer than a look takes in, more than that, more than a page
async def test_jobs_that_seem_old_are_found(window: int, recent: int) -> None:
    """The clock is an hour behind by now: what is new stands among what was made an hour ago."""
    async with a_server() as (elastic, source):
        elastic.connector("c1")
        for number in range(330 + recent):
            elastic.job(f"j{number:05}", 4_000 + 1_100 - number * 5_100 / (330 + recent))
        known = Known()
        remembered(known, await source.poll(known))
        for turn in range(3):
            elastic.job(f"new{turn}", 3_600 - turn)
            seen = await source.poll(known)
            assert f"new{turn}" in ids(seen)
            remembered(known, seen)


async def test_deleted_jobs_hide_no_new_ones(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(300):
        elastic.job(f"old{number:03}", 20_000 - number)
    known = Known()
    remembered(known, await source.poll(known))
    for number in range(70):
        elastic.job(f"ahead{number:02}", -3_600 - number)
    remembered(known, await source.poll(known))
    for number in range(60):
        elastic.job(f"new{number:02}", 60 - number)
        elastic.world.delete_job(f"old{number:03}")
    assert {f"new{number:02}" for number in range(60)} <= ids(await source.poll(known))


async def test_a_quiet_poll_of_a_long_list_costs_few_requests(
    elastic: Elastic, source: ElasticSource, window: int
) -> None:
    """With both lists as long as the window or longer: a page of connectors, two counts, and three for the jobs."""
    for number in range(window):
        elastic.connector(f"c{number:05}")
    for number in range(window + 50):
        elastic.job(f"j{number:05}", 20_000 - number, of=f"c{number % window:05}")
    known = Known()
    remembered(known, await source.poll(known))
    for deletes in (True, True, False):
        elastic.requests.clear()
        seen = await source.poll(known)
        assert len(elastic.requests) <= 6, elastic.requests
        assert len(seen.jobs) <= _PAGE + 100
        if deletes:
            elastic.world.delete_job(sorted(elastic.world.jobs)[-1])


async def test_job_pages_that_repeat_end_the_reading(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    documents = _Repeating(elastic.job(f"j{number:04}", 9_999 - number, status="pending") for number in range(9_999))
    documents.cap = 10
    elastic.world.job_list = lambda **_: documents  # type: ignore[method-assign]
    known = remember(Known(), await source.poll(Known()))
    elastic.requests.clear()
    seen = await source.poll(known)
    assert [(problem.code, "of 9999 were served" in problem.message) for problem in seen.problems] == [
        (SystemErrorCode.MISMATCH, True)
    ]
    assert seen.complete
    assert len(elastic.requests) <= 5
    elastic.requests.clear()
    with pytest.raises(SourceMismatch, match="the list is not complete"):
        await collect(source, known, frozenset({"c1"}))
    assert len(elastic.requests) <= 5


async def test_few_open_jobs_are_asked_for_one_by_one(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("old", 90_000, status="in_progress")
    for number in range(150):
        elastic.job(f"j{number}", 2_000 - 10 * number)
    seen = await source.poll(since(510, {"old": "c1", "vanished": "c1"}, c1="-"))
    assert "old" in ids(seen)
    assert seen.gone_jobs == {"vanished"}
    assert not elastic.asked("status=")


async def test_many_open_jobs_are_looked_up_by_status(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    states = ("in_progress", "pending", "suspended", "canceling", "in_progress", "completed")
    for number, status in enumerate(states):
        elastic.job(f"old{number}", 90_000, status=status)
    for number in range(1_050):
        elastic.job(f"j{number}", 12_000 - 10 * number)
    known = since(1_510, {**{f"old{number}": "c1" for number in range(6)}, "vanished": "c1"}, c1="-")
    seen = await source.poll(known)
    told = {job.external_id: job.upstream_status for job in seen.jobs}
    assert [told[f"old{number}"] for number in range(6)] == list(states)
    assert seen.gone_jobs == {"vanished"}
    assert len(elastic.asked("status=")) == 4
    assert [request.rsplit("/", 1)[1] for request in elastic.asked("_sync_job/")] == ["old5", "vanished"]


async def test_a_proxy_that_knows_nothing_does_not_make_jobs_gone(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.app[FAULTS].html_status = 404
    elastic.app[FAULTS].path = "/_sync_job/"
    seen = await source.poll(since(10, {"open": "c1"}, c1="-"))
    assert not seen.gone_jobs
    assert seen.owed == {"c1"}
    assert seen.complete
    assert seen.problems


async def test_an_unreadable_job_costs_only_itself(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("huge", 20, indexed_document_volume=2**62)
    elastic.job("sound", 10)
    seen = await source.poll(Known())
    assert ids(seen) == {"sound"}
    assert seen.owed == {"c1"}
    assert ["huge" in problem.message for problem in seen.problems] == [True]
    jobs, finished = await collect(source, remember(Known(), seen), frozenset({"c1"}))
    assert [job.external_id for job in jobs] == ["sound"]
    assert finished == {"c1"}


async def test_connectors_are_told_when_jobs_are_not(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("j1", 10)
    elastic.app[FAULTS].html_status = 503
    elastic.app[FAULTS].path = "/_sync_job"
    seen = await source.poll(since(400, {"open": "c1"}, c1="-", c2=None))
    assert [fact.external_id for fact in seen.connectors] == ["c1"]
    assert seen.complete
    assert not seen.jobs
    assert seen.owed == {"c1", "c2"}
    assert [problem.code for problem in seen.problems] == [SystemErrorCode.UPSTREAM_ERROR]


async def test_a_limit_on_jobs_tells_how_long_to_wait(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    faults = elastic.app[FAULTS]
    faults.rate_limited, faults.retry_after, faults.path = True, 12.0, "/_sync_job"
    (problem,) = (await source.poll(Known())).problems
    assert (problem.code, problem.retry_after) == (SystemErrorCode.RATE_LIMITED, 12.0)


async def test_what_is_owed_is_read_again(elastic: Elastic, source: ElasticSource) -> None:
    for name in ("c1", "c2"):
        elastic.connector(name)
    elastic.job("missed", 50_000, of="c1")
    for number in range(150):
        elastic.job(f"j{number}", 2_000 - 10 * number, of="c2")
    seen = await source.poll(since(510, c1=None, c2="-"))
    assert "missed" in ids(seen)
    assert not seen.owed
    assert len(elastic.asked("connector_id=")) == 1


async def test_orphans_name_their_connector(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("stays")
    elastic.connector("goes")
    elastic.job("orphan", 10, of="goes")
    elastic.world.delete_connector("goes")
    seen = await source.poll(Known())
    assert [(job.external_id, job.connector, job.source) for job in seen.jobs] == [("orphan", "goes", "mysql")]
    jobs, finished = await collect(source, remember(Known(), seen), frozenset({"stays"}))
    assert [job.external_id for job in jobs] == ["orphan"]
    assert finished == {"stays"}


# ---- the live lane


def open_jobs(*names: str) -> Known:
    return since(10, dict.fromkeys(names, "c1"), c1="-")


async def look(source: ElasticSource, known: Known) -> Observation:
    return await source.look(known, frozenset(known.open_jobs))


async def test_a_look_at_few_asks_for_each(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("runs", 90, status="in_progress", indexed_document_count=5)
    elastic.job("ended", 80, status="error", error="broke")
    elastic.job("other", 70, status="in_progress")
    seen = await look(source, open_jobs("runs", "ended", "vanished"))
    told = {job.external_id: job for job in seen.jobs}
    assert (told["runs"].status, told["runs"].processed) == (JobStatus.RUNNING, 5)
    assert (told["ended"].status, told["ended"].error_message) == (JobStatus.FAILED, "broke")
    assert told.keys() == {"runs", "ended"}
    assert seen.gone_jobs == {"vanished"}
    assert (list(seen.connectors), seen.complete, list(seen.problems)) == ([], False, [])
    assert sorted(request.rsplit("/", 1)[1] for request in elastic.requests) == ["ended", "runs", "vanished"]


@cases(
    ("states", "lists"),
    [
        (["in_progress"] * 6, ["in_progress"]),
        (["in_progress"] * 2 + ["canceling"] * 4, ["in_progress"]),
        (["in_progress"] * 2 + ["canceling"] * 5, ["in_progress", "canceling"]),
        (["pending"] * 5, ["in_progress", "canceling", "pending"]),
        (["suspended"] * 5, ["in_progress", "canceling", "pending", "suspended"]),
        (["completed"] * 5, ["in_progress", "canceling", "pending", "suspended"]),
    ],
)
async def test_a_look_at_many_reads_the_lists_that_it_needs(states: list[str], lists: list[str]) -> None:
    async with a_server() as (elastic, source):
        elastic.connector("c1")
        names = [f"j{number}" for number in range(len(states))]
        for name, status in zip(names, states, strict=True):
            elastic.job(name, 90, status=status)
        elastic.job("new", 5, status="in_progress")
        seen = await look(source, open_jobs(*names))
        assert [request.partition("status=")[2] for request in elastic.asked("status=")] == lists
        told = {job.external_id: job.upstream_status for job in seen.jobs}
        assert [told[name] for name in names] == states
        assert "new" in told  # it came along in the list of those in progress
        of_lists = sum(status in lists for status in states)
        assert len(elastic.asked("_sync_job/")) == len(states) - of_lists


async def test_what_has_left_the_lists_is_read_a_hundred_at_once(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    names = [f"j{number}" for number in range(130)]
    for name in names:
        elastic.job(name, 90)
    known = open_jobs(*names)
    first = await look(source, known)
    assert len(elastic.asked("_sync_job/")) == len(first.jobs) == 100
    second = await look(source, remember(known, first))
    assert ids(first) | ids(second) == set(names)


async def test_a_proxy_that_knows_nothing_ends_no_job(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("j1", 90, status="in_progress")
    elastic.app[FAULTS].html_status = 404
    elastic.app[FAULTS].path = "/_sync_job/vanished"
    seen = await look(source, open_jobs("j1", "vanished"))
    assert ids(seen) == {"j1"}
    assert not seen.gone_jobs
    assert [problem.code for problem in seen.problems] == [SystemErrorCode.MISMATCH]
    with pytest.raises(SourceMismatch):
        await look(source, open_jobs("vanished"))


async def test_a_server_that_falls_silent_is_not_asked_for_the_rest(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    for number in range(6):
        elastic.job(f"runs{number}", 90, status="in_progress")
    names = [f"gone{number}" for number in range(60)]
    faults = elastic.app[FAULTS]
    faults.rate_limited, faults.retry_after, faults.path = True, 12.0, "/_sync_job/"
    seen = await look(source, open_jobs("runs0", *names))
    assert "runs0" in ids(seen)
    assert [(problem.code, problem.retry_after) for problem in seen.problems] == [(SystemErrorCode.RATE_LIMITED, 12.0)]
    assert len(elastic.asked("_sync_job/")) <= 4  # those under way at once


async def test_an_unreadable_job_is_told_as_a_problem(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("huge", 20, status="in_progress", indexed_document_volume=2**62)
    seen = await look(source, open_jobs("huge"))
    assert not seen.jobs
    assert not seen.gone_jobs
    assert ["job huge" in problem.message for problem in seen.problems] == [True]


async def test_newer_jobs_of_a_look_hide_nothing_from_the_next_poll(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1")
    elastic.job("open", 5_000, status="in_progress")
    known = Known()
    remembered(known, await source.poll(known))
    for number in range(300):
        elastic.job(f"missed{number:03}", 4_000 - number)
    for number in range(5):
        elastic.job(f"runs{number}", 10, status="in_progress")
    known.open_jobs.update(dict.fromkeys([f"x{number}" for number in range(5)], "c1"))
    remembered(known, await look(source, known))
    assert known.newest_job_at == ago(10)
    seen = await source.poll(known)
    assert {f"missed{number:03}" for number in range(300)} <= ids(seen)
    remembered(known, seen)
    assert not {job for job in ids(await source.poll(known)) if job < "missed200" and job.startswith("missed")}


def remembered(known: Known, seen: Observation) -> None:
    """As the engine does it: the memory stays the same object."""
    memory = remember(known, seen)
    known.connectors, known.open_jobs, known.newest_job_at = memory.connectors, memory.open_jobs, memory.newest_job_at


# ---- connectors that are gone, and what nobody knows


async def ask(elastic: Elastic, method: str, path: str) -> tuple[int, Any]:
    headers = {"Authorization": f"ApiKey {API_KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, elastic.running.url + path) as response,
    ):
        return response.status, await response.json()


@cases("hard", [False, True])
async def test_jobs_outlive_a_deleted_connector(hard: bool) -> None:
    """Deleted by its API, the connector answers 404; its jobs are still served and still name it (elastic.md §5)."""
    async with a_server() as (elastic, source):
        elastic.connector("stays")
        elastic.connector("goes")
        elastic.job("past", 90_000, of="goes", total_document_count=7)
        elastic.job("runs", 60, of="goes", status="in_progress", indexed_document_count=1)
        known = remember(Known(), await source.poll(Known()))
        assert (await ask(elastic, "DELETE", f"/_connector/goes{'?hard=true' if hard else ''}"))[0] == 200
        status, body = await ask(elastic, "GET", "/_connector/goes")
        assert (status, body["error"]["type"]) == (404, "resource_not_found_exception")
        assert (await ask(elastic, "GET", "/_connector/goes?include_deleted=true"))[0] == (404 if hard else 200)

        seen = await source.poll(known)
        assert [fact.external_id for fact in seen.connectors] == ["stays"]
        assert (seen.complete, list(seen.problems), seen.gone_jobs) == (True, [], frozenset())
        assert [(job.external_id, job.connector, job.source) for job in seen.jobs if job.external_id == "runs"] == [
            ("runs", "goes", "mysql")
        ]
        looked = await source.look(known, frozenset({"runs"}))
        assert [(job.connector, job.processed) for job in looked.jobs] == [("goes", 1)]
        # a gateway that starts only now has never met the connector, and reads its jobs as orphans
        fresh = remember(Known(), await source.poll(Known()))
        jobs, finished = await collect(source, fresh, frozenset(fresh.connectors))
        assert {job.external_id: (job.connector, job.source) for job in jobs} == {
            "past": ("goes", "mysql"),
            "runs": ("goes", "mysql"),
        }
        assert finished == {"stays"}


async def test_jobs_deleted_with_their_connector_are_gone(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("stays")
    elastic.connector("goes")
    elastic.job("runs", 60, of="goes", status="in_progress")
    known = remember(Known(), await source.poll(Known()))
    assert (await ask(elastic, "DELETE", "/_connector/goes?delete_sync_jobs=true"))[0] == 200
    assert (await source.look(known, frozenset({"runs"}))).gone_jobs == {"runs"}
    seen = await source.poll(known)
    assert seen.gone_jobs == {"runs"}
    assert [fact.external_id for fact in seen.connectors] == ["stays"]
    assert seen.complete


async def test_a_connector_that_comes_back_is_the_same_one(elastic: Elastic, source: ElasticSource) -> None:
    document = elastic.connector("c1")
    before = (await source.poll(Known())).connectors[0]
    assert (await ask(elastic, "DELETE", "/_connector/c1"))[0] == 200
    assert not (await source.poll(Known())).connectors
    document["deleted"] = False
    elastic.world.reorder()
    assert [fact.fingerprint for fact in (await source.poll(Known())).connectors] == [before.fingerprint]


async def test_unknown_keys_arrive_without_their_secrets(elastic: Elastic, source: ElasticSource) -> None:
    elastic.connector("c1", novelty={"level": 3, "api_token": "hidden-1"}, ingest_password="hidden-2")
    job = elastic.job("j1", 10, status="in_progress", worker_mood="fine", worker_token="hidden-3")
    job["connector"] = {**job["connector"], "novelty": {"level": 4, "secret": "hidden-4"}, "name": "Orders"}
    seen = await source.poll(Known())
    (connector,) = [json.loads(fact.details.json) for fact in seen.connectors if fact.details]
    assert connector["extra"] == {"novelty": {"level": 3, "api_token": "[redacted]"}, "ingest_password": "[redacted]"}
    for told in (seen, await source.look(remember(Known(), seen), frozenset({"j1"}))):
        (details,) = [json.loads(job.details.json) for job in told.jobs if job.details]
        assert details["extra"] == {"worker_mood": "fine", "worker_token": "[redacted]"}
        assert details["connector_extra"] == {"novelty": {"level": 4, "secret": "[redacted]"}, "name": "Orders"}
        assert "hidden" not in repr(told)


def test_what_the_mapping_tells_has_a_field_in_graphql() -> None:
    """Details keys are the Python names of the GraphQL types' fields."""
    assert {*JOB_DETAILS, *SNAPSHOT_DETAILS, "extra", "connector_extra"} == set(ElasticJobDetails.__annotations__)
    assert {*CONNECTOR_DETAILS, "extra"} == set(ElasticConnectorDetails.__annotations__)


# ---- history


async def test_history_beyond_the_window_goes_connector_by_connector(elastic: Elastic, source: ElasticSource) -> None:
    names = [f"c{number:02}" for number in range(21)]
    for name in names:
        elastic.connector(name)
    for number in range(10_500):
        elastic.job(f"j{number:05}", 20_000 - number, of=names[number % 21])
    batches = [batch async for batch in source.history(Known(), frozenset(names))]
    assert {job.external_id for batch in batches for job in batch.jobs} == set(elastic.world.jobs)
    assert frozenset().union(*(batch.finished for batch in batches)) == set(names)
    assert all(len(batch.jobs) <= 3_000 for batch in batches)
    assert len(batches) > 5


async def test_history_hands_over_what_it_has_before_it_fails(
    elastic: Elastic, source: ElasticSource, window: int
) -> None:
    names = [f"c{number:02}" for number in range(30)]
    for name in names:
        elastic.connector(name)
    for number in range(window):
        elastic.job(f"j{number:05}", 20_000 - number, of=names[number % 30])
    finished: set[str] = set()

    async def read_until_broken() -> None:
        async for batch in source.history(Known(), frozenset(names)):
            finished.update(batch.finished)
            elastic.app[FAULTS].html_status = 502

    with pytest.raises(SourceUnreachable):
        await read_until_broken()
    assert 0 < len(finished) < 30
    elastic.app[FAULTS].html_status = None
    _, rest = await collect(source, Known(), frozenset(names) - finished)
    assert rest | finished == set(names)


async def test_history_that_is_left_leaves_nothing_running(
    elastic: Elastic, source: ElasticSource, window: int
) -> None:
    for number in range(window):
        elastic.job(f"j{number:05}", 20_000 - number, of=f"c{number % 20:02}")
    history = source.history(Known(), frozenset(f"c{number:02}" for number in range(20)))
    assert (await anext(history)).jobs
    await history.aclose()
    asked = len(elastic.requests)
    await source.poll(Known())
    assert not [request for request in elastic.requests[asked:] if "connector_id" in request]


async def test_one_connector_of_many_is_asked_for_alone(elastic: Elastic, source: ElasticSource) -> None:
    for number in range(1_200):
        elastic.job(f"j{number:05}", 20_000 - number, of=("c1", "c2")[number == 600])
    jobs, finished = await collect(source, Known(), frozenset({"c2"}))
    assert ([job.external_id for job in jobs], finished) == (["j00600"], frozenset({"c2"}))


async def test_facts_of_a_running_world(elastic: Elastic, source: ElasticSource) -> None:
    """The simulated world shows every status that Elastic knows, of connectors and of jobs."""
    hand = Hand()
    app = simulator(seed=3, clock=Clock(start=START, wall=hand))
    known, jobs, connectors = Known(), set[JobStatus](), set[ConnectorStatus]()
    async with serve(app) as running:
        elastic.running = running
        async with reading(elastic) as reader:
            for _ in range(30):
                seen = await reader.poll(known)
                assert seen.complete
                known = remember(known, seen)
                jobs |= {job.status for job in seen.jobs}
                connectors |= {fact.status for fact in seen.connectors}
                hand.move(14)
    assert jobs == {
        JobStatus.PENDING,
        JobStatus.RUNNING,
        JobStatus.SUSPENDED,
        JobStatus.CANCELING,
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELED,
    }
    assert connectors == {
        ConnectorStatus.NEEDS_CONFIGURATION,
        ConnectorStatus.SCHEDULED,
        ConnectorStatus.ACTIVE,
        ConnectorStatus.ERROR,
    }
