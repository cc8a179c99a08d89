"""Lists of Elastic that are longer than a page or than the server tells, in whatever order it keeps (elastic.md §3)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectory.model import Known, KnownConnector, SystemErrorCode
from sources.base import SourceMismatch, SourceUnreachable
from sources.elastic import client, history, jobs, listing, places
from sources.elastic import source as adapter
from sources.elastic.simulator import checks, routes
from sources.elastic.simulator.documents import Document
from sources.elastic.simulator.refusals import refusal
from sources.elastic.source import ElasticSource
from sources.simulation import FAULTS
from tests.sources.cases import cases
from tests.sources.contract import collect, remember
from tests.sources.elastic_stage import Elastic, a_server, ago, ids, reading, remembered, since

#: What a page of jobs and the result window are made where a test needs a list that is longer: 300 and 900 in place of
#: 1,000 and 10,000, in every module that reads the numbers.
_PAGE, _WINDOW = 300, 900
_SMALLER = {
    (listing, jobs, history): {"PAGE": _PAGE},
    (history,): {"_BATCH": _PAGE},
    (client, adapter, history, jobs, listing, places): {"RESULT_WINDOW": _WINDOW},
    (checks, routes): {"_WINDOW": _WINDOW},
}


@pytest.fixture
async def elastic() -> AsyncIterator[Elastic]:
    elastic = Elastic()
    async with elastic.running:
        yield elastic


@pytest.fixture
async def source(elastic: Elastic) -> AsyncIterator[ElasticSource]:
    async with reading(elastic) as source:
        yield source


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
    monkeypatch.setattr(adapter, "_PAGE", 20)
    return 20


# ---- the list of connectors


async def test_all_pages_are_read(elastic: Elastic, source: ElasticSource) -> None:
    for number in range(4_001):
        elastic.connector(f"c{number:04}")
    seen = await source.poll(Known())
    assert len(seen.connectors) == 4_001
    assert seen.complete
    assert ["size=2000" in request for request in elastic.asked("/_connector?")] == [True] * 3


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
