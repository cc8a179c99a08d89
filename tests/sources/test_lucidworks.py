from collections.abc import Mapping
from time import perf_counter
from typing import Any

import pytest
from pydantic import ValidationError

from connectory.model import ConnectorStatus, HistoryBatch, Known, SystemErrorCode
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.lucidworks import SOURCE
from sources.lucidworks.redaction import redacted
from sources.lucidworks.runs import job_id
from sources.lucidworks.simulator.app import simulator
from sources.lucidworks.simulator.population import SECRETS
from sources.lucidworks.simulator.views import Build
from sources.lucidworks.simulator.world import LucidworksWorld
from sources.lucidworks.source import LucidworksSource
from sources.simulation import Clock, serve
from tests.sources.canned import Reply, canned
from tests.sources.cases import cases
from tests.sources.contract import START, Hand, SourceContract, Upstream, collect, remember
from tests.sources.lucidworks_stage import (
    EMPTY,
    MISSING,
    at,
    configured,
    job,
    knows,
    listed,
    lucidworks,
    one_collection,
    path,
    status,
    told,
)
from tests.sources.onyx_stage import Answer


class Shared(SourceContract):
    """What both dialects promise beyond the contract."""

    kind = SOURCE
    build = Build()

    def simulate(self) -> Upstream:
        hand = Hand()
        app = simulator(seed=self.seed, clock=Clock(start=START, wall=hand), build=self.build)
        return Upstream(serve(app), hand)

    async def test_nothing_shows_a_secret_of_a_data_source(self, source: LucidworksSource) -> None:
        known = remember(Known(), await source.poll(Known()))
        shown = repr(await source.poll(known)) + repr(await source.poll(Known()))
        assert "[redacted]" in shown
        assert not [secret for secret in SECRETS if secret in shown]

    async def test_a_look_tells_of_every_open_job_and_of_no_other_request(
        self, source: LucidworksSource, upstream: Upstream
    ) -> None:
        known = remember(Known(), await source.poll(Known()))
        assert known.open_jobs
        for _ in range(20):
            upstream.hand.move(5)
            asked = len(upstream.requests)
            seen = await source.look(known, frozenset(known.open_jobs))
            assert {job.external_id for job in seen.jobs} >= known.open_jobs.keys() - seen.gone_jobs
            assert (seen.complete, list(seen.connectors), seen.problems) == (False, [], [])
            # the state of each, and the history of some
            assert len(upstream.requests) - asked <= 2 * len(known.open_jobs)
            assert not [line for line in upstream.requests[asked:] if line.endswith(("/datasources", "=datasource"))]
            known = remember(known, seen)

    async def test_a_look_sees_what_a_poll_would(self, source: LucidworksSource, upstream: Upstream) -> None:
        known = remember(Known(), await source.poll(Known()))
        upstream.hand.move(3)
        looked = await source.look(known, frozenset(known.open_jobs))
        polled = {job.external_id: job.fingerprint for job in (await source.poll(known)).jobs}
        assert {job.external_id: job.fingerprint for job in looked.jobs}.items() <= polled.items()

    async def test_a_data_source_that_is_deleted_takes_its_open_crawl_along(
        self, source: LucidworksSource, upstream: Upstream
    ) -> None:
        known = remember(Known(), await source.poll(Known()))
        running = next(each for each in upstream.world.sources.values() if each.crawl and each.crawl.active)
        upstream.world.delete(running)
        seen = await source.poll(known)
        (gone,) = seen.gone_jobs
        assert known.open_jobs[gone] not in {fact.external_id for fact in seen.connectors}
        assert (seen.complete, seen.problems) == (True, [])
        looked = await source.look(known, frozenset({gone}))
        assert looked.gone_jobs == {gone}


class TestSearch(Shared):
    def jobs_held(self, world: LucidworksWorld) -> set[str]:
        return {
            job_id(f"{source.collection}/{self.build.id(source)}", crawl.started)
            for source in world.sources.values()
            for crawl in source.crawls
        }


class TestSearchOneByOne(TestSearch):
    """A server that answers for nobody but one data source, with ids as text and 404 for one that never ran."""

    build = Build(bulk=False, never_run="missing", envelope=False, text_ids=True)


class TestFusion(Shared):
    def settings(self, url: str) -> dict[str, Any]:
        return {**super().settings(url), "dialect": "fusion"}

    def jobs_held(self, world: LucidworksWorld) -> set[str]:
        return {job_id(source.key, crawl.started) for source in world.sources.values() for crawl in source.crawls}


@cases("build", [Build(never_run="null"), Build(never_run="empty", bulk=False), Build(fusion=1)])
@cases("dialect", ["search", "fusion"])
async def test_other_builds_are_read_as_well(build: Build, dialect: str) -> None:
    hand = Hand()
    async with serve(simulator(seed=5, clock=Clock(start=START, wall=hand), build=build)) as running:
        assert SOURCE.simulator_settings is not None
        source = LucidworksSource(configured(**{**SOURCE.simulator_settings(running.url), "dialect": dialect}))
        known = Known()
        for _ in range(6):
            seen = await source.poll(known)
            assert (seen.complete, seen.problems) == (True, [])
            known = remember(known, seen)
            hand.move(40)
        assert {fact.status for fact in seen.connectors} >= {ConnectorStatus.ACTIVE, ConnectorStatus.INACTIVE}
        jobs, finished = await collect(source, known, frozenset(known.connectors))
        await source.close()
    assert finished == frozenset(known.connectors)
    assert len(jobs) > 200


# ---- settings


@cases(
    "changes",
    [
        {"username": "u"},
        {"password": "p"},
        {"username": "u:v", "password": "p"},
        {"username": "", "password": "p"},
        {"dialect": "solr"},
        {"collections": [""]},
        {"collections": [7]},
        {"token": "x"},
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        configured("http://127.0.0.1:1", **changes)


async def test_credentials_are_sent_only_when_there_are_some() -> None:
    answers = one_collection([], [])
    async with lucidworks(answers) as (source, upstream):
        await source.poll(Known())
        assert "Authorization" not in upstream.asked[0].headers
    async with lucidworks(answers, username="reader", password="pässword") as (source, upstream):
        await source.poll(Known())
        assert upstream.asked[0].headers["Authorization"] == "Basic cmVhZGVyOnDDpHNzd29yZA=="


async def test_a_server_that_asks_for_credentials_says_so() -> None:
    refused = Reply(text="<html>401</html>", status=401, headers={"WWW-Authenticate": 'Basic realm="search"'})
    for settings, hinted in (({}, True), ({"username": "u", "password": "p"}, False)):
        async with lucidworks({"GET /api/collections": refused}, **settings) as (source, _):
            with pytest.raises(SourceAuthFailed) as caught:
                await source.poll(Known())
        assert ("set username and password" in str(caught.value)) is hinted


@cases(
    ("base", "prefix"),
    [
        ("", "/api"),
        ("/", "/api"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/lucid", "/lucid/api"),
        ("/lucid/api", "/lucid/api"),
        ("/api/apollo", "/api/apollo"),
    ],
)
async def test_the_url_may_end_in_api(base: str, prefix: str) -> None:
    async with canned({f"GET {prefix}/collections": Reply([])}) as upstream:
        source = LucidworksSource(configured(upstream.url + base))
        assert (await source.poll(Known())).complete
        await source.close()


# ---- collections


def two_collections(broken: Answer) -> dict[str, Answer]:
    return {
        **one_collection([listed(6)], [status(6)], "good"),
        "GET /api/collections": Reply([{"name": "bad"}, {"name": "good"}, {"name": "good"}]),
        path("bad"): broken,
    }


async def test_collections_are_discovered_and_their_names_quoted() -> None:
    name = "Müller & Söhne/2"
    answers = one_collection([listed(6)], [status(6)], name)
    async with lucidworks(answers) as (source, upstream):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == [f"{name}/6"]
    assert upstream.paths[1] == f"/api/collections/{name}/datasources"


async def test_configured_collections_are_the_only_ones_asked() -> None:
    answers = {**one_collection([listed(6)], [status(6)], "b"), **one_collection([listed(7)], [status(7)], "a")}
    async with lucidworks(answers, collections=["b", "a", "b"]) as (source, upstream):
        seen = await source.poll(Known())
    assert {fact.external_id for fact in seen.connectors} == {"a/7", "b/6"}
    assert "/api/collections" not in upstream.paths
    assert len(upstream.paths) == 4


@cases(
    ("broken", "code"),
    [
        (MISSING, SystemErrorCode.MISMATCH),
        (Reply({"data": []}), SystemErrorCode.MISMATCH),
        (Reply(text="<html>"), SystemErrorCode.MISMATCH),
        (Reply(text="<html>", status=500), SystemErrorCode.UPSTREAM_ERROR),
        (Reply(text="", status=403), SystemErrorCode.AUTH_FAILED),
        (Reply(text="", status=429, headers={"Retry-After": "9"}), SystemErrorCode.RATE_LIMITED),
    ],
)
async def test_a_collection_that_cannot_be_read_leaves_the_others(broken: Answer, code: SystemErrorCode) -> None:
    async with lucidworks(two_collections(broken)) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["good/6"]
    assert not seen.complete
    (problem,) = seen.problems
    assert problem.code is code
    assert "bad" in problem.message
    assert problem.retry_after == (9.0 if code is SystemErrorCode.RATE_LIMITED else None)


@cases(
    ("first", "second", "error"),
    [
        (Reply(text="", status=500), Reply(text="", status=401), SourceAuthFailed),
        (Reply(text="", status=500), Reply(text="", status=429), SourceRateLimited),
        (Reply({}), Reply(text="", status=502), SourceUnreachable),
        (Reply({}), MISSING, SourceMismatch),
    ],
)
async def test_with_no_collection_readable_there_is_no_answer(
    first: Answer, second: Answer, error: type[SourceError]
) -> None:
    async with lucidworks({path("a"): first, path("b"): second}, collections=["a", "b"]) as (source, _):
        with pytest.raises(error):
            await source.poll(Known())


async def test_a_server_that_fails_is_not_asked_for_every_collection() -> None:
    names = [f"c{number}" for number in range(40)]
    down = {path(name): Reply(text="", status=503) for name in names}
    answers = {**down, path("c0"): Reply([])}
    async with lucidworks(answers, collections=names) as (source, upstream):
        seen = await source.poll(Known())
    assert not seen.complete
    assert len(upstream.asked) <= 10
    assert len(seen.problems) <= 6
    assert any("more: " in problem.message for problem in seen.problems)


@cases("body", [{"name": "c"}, "c", 7])
async def test_collections_that_are_no_list_are_a_mismatch(body: object) -> None:
    async with lucidworks({"GET /api/collections": Reply(body)}) as (source, _):
        with pytest.raises(SourceMismatch, match="expected a list"):
            await source.poll(Known())


async def test_collections_of_a_fusion_get_a_hint() -> None:
    async with lucidworks({"GET /api/collections": Reply([{"id": "system_logs"}])}) as (source, _):
        with pytest.raises(SourceMismatch, match='dialect = "fusion"'):
            await source.poll(Known())


async def test_one_collection_without_a_name_is_a_problem() -> None:
    answers = {**one_collection([listed(6)], [status(6)]), "GET /api/collections": Reply([{"name": "c"}, {}, 7])}
    async with lucidworks(answers) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["c/6"]
    assert not seen.complete
    assert len(seen.problems) == 2


# ---- data sources and their statuses


async def test_unreadable_entries_are_reported_and_the_rest_kept() -> None:
    sources = [listed(6), "odd", {"name": "nameless"}, {"id": 1.5}, listed("b57b"), listed(6, name="again")]
    async with lucidworks(one_collection(sources, [status(6), status("b57b")])) as (source, _):
        seen = await source.poll(Known())
    assert [(fact.external_id, fact.name) for fact in seen.connectors] == [
        ("c/6", "source 6"),
        ("c/b57b", "source b57b"),
    ]
    assert not seen.complete
    assert [problem.message.partition(":")[0] for problem in seen.problems] == [
        f"entry {place} of the data sources of c" for place in (1, 2, 3)
    ]


@cases("key", ["num_new", "num_total", "num_not_found"])
@cases("value", [-1, 2**63, "many", 1.5, True])
async def test_a_counter_that_is_none_is_kept_out_and_its_crawl_kept(key: str, value: object) -> None:
    async with lucidworks(one_collection([listed(6)], [status(6, num_not_found=1) | {key: value}])) as (source, _):
        seen = await source.poll(Known())
    (crawl,) = seen.jobs
    place = {"num_new": "added", "num_total": "total", "num_not_found": "not_found"}[key]
    assert getattr(crawl.counts, place) is None
    assert crawl.counts.updated == 0
    assert [problem.code for problem in seen.problems] == [SystemErrorCode.MISMATCH]
    assert f"c/6: {key}: " in seen.problems[0].message
    assert seen.complete
    assert [fact.status for fact in seen.connectors] == [ConnectorStatus.ACTIVE]


async def test_the_greatest_counters_are_kept_and_their_sum_is_not_clamped() -> None:
    most = 2**63 - 1
    async with lucidworks(one_collection([listed(6)], [status(6, num_new=most, num_updated=1)])) as (source, _):
        seen = await source.poll(Known())
    (crawl,) = seen.jobs
    assert (crawl.counts.added, crawl.counts.indexed, crawl.docs_in_index) == (most, None, None)
    assert "more than 64 bits" in seen.problems[0].message


UNREADABLE = [status(6, crawl_state=7), status(6, crawl_started="yesterday"), {**status(6), "crawl_state": None}]


@cases("odd", UNREADABLE)
async def test_a_state_that_cannot_be_read_leaves_what_was_known(odd: dict[str, Any]) -> None:
    answers = one_collection([listed(6), listed(7)], [odd, status(7)])
    async with lucidworks(answers) as (source, _):
        first, again = await source.poll(Known()), await source.poll(knows("c/6", latest=15))
    for seen in (first, again):
        assert not seen.complete
        assert "status of data source c/6: " in seen.problems[0].message
        assert [crawl.connector for crawl in seen.jobs] == ["c/7"]
    assert {fact.external_id: fact.status.name for fact in first.connectors} == {"c/6": "UNKNOWN", "c/7": "ACTIVE"}
    assert [fact.external_id for fact in again.connectors] == ["c/7"]


@cases("answer", [MISSING, Reply(None), EMPTY, Reply({}), Reply(status(6, "IDLE", None))])
async def test_one_that_never_ran(answer: Answer) -> None:
    async with lucidworks({**one_collection([listed(6)]), path("c", 6, "status"): answer}) as (source, _):
        seen = await source.poll(Known())
        looked = await source.look(knows(open_jobs=[15]), frozenset({job(15)}))
    assert (seen.complete, seen.problems, seen.jobs) == (True, [], [])
    assert [fact.status for fact in seen.connectors] == [ConnectorStatus.INACTIVE]
    assert looked.gone_jobs == {job(15)}


async def test_one_that_all_statuses_leave_out_never_ran() -> None:
    async with lucidworks(one_collection([listed(6), listed(7)], [status(7)])) as (source, upstream):
        seen = await source.poll(Known())
    assert {fact.external_id: fact.status.name for fact in seen.connectors} == {"c/6": "INACTIVE", "c/7": "ACTIVE"}
    assert len(upstream.asked) == 3


async def test_a_status_without_an_id_is_looked_for_one_by_one() -> None:
    stray = status(6)
    del stray["id"]
    answers = {**one_collection([listed(6), listed(7)], [stray, status(7)]), path("c", 6, "status"): Reply(stray)}
    async with lucidworks(answers) as (source, upstream):
        seen = await source.poll(Known())
    assert [crawl.external_id for crawl in seen.jobs] == [job(15), job(15, "c/7")]
    assert upstream.paths[-1] == "/api/collections/c/datasources/6/status"


async def test_of_two_statuses_of_one_source_the_later_crawl_counts() -> None:
    for statuses in ([status(6, minute=15), status(6, minute=20)], [status("6", minute=20), status(6, minute=15)]):
        async with lucidworks(one_collection([listed(6)], statuses)) as (source, _):
            seen = await source.poll(Known())
        assert [crawl.external_id for crawl in seen.jobs] == [job(20)]


@cases(
    "refused",
    [
        MISSING,
        Reply([{"key": "", "code": "error.not.found", "message": "URI not found"}], 404),
        Reply(text="<html>", status=404),
        Reply(text="<html>", status=405),
        Reply(text="NumberFormatException", status=500),
        Reply({"errors": []}, 422),
        Reply(None),
        EMPTY,
        Reply(status("all")),
    ],
)
async def test_a_server_that_does_not_know_all_is_asked_one_by_one_from_then_on(refused: Answer) -> None:
    answers = {
        **one_collection([listed(6), listed(7)]),
        path("c", "all", "status"): refused,
        path("c", 6, "status"): Reply(status(6, "RUNNING")),
        path("c", 7, "status"): Reply(status(7)),
    }
    async with lucidworks(answers) as (source, upstream):
        seen = await source.poll(Known())
        asked = upstream.paths
        await source.poll(remember(Known(), seen))
    assert (seen.complete, seen.problems) == (True, [])
    assert {crawl.external_id: crawl.status.name for crawl in seen.jobs} == {
        job(15): "RUNNING",
        job(15, "c/7"): "SUCCEEDED",
    }
    assert asked.count("/api/collections/c/datasources/all/status") == 1
    assert len(upstream.asked) == 5 + 4


async def test_a_server_whose_crawlers_are_down_is_asked_for_all_again() -> None:
    down = Reply(text="<html>", status=500)
    answers = {**one_collection([listed(6)]), path("c", "all", "status"): down, path("c", 6, "status"): down}
    async with lucidworks(answers) as (source, upstream):
        seen = await source.poll(Known())
        assert [(fact.status.name, fact.upstream_status) for fact in seen.connectors] == [("UNKNOWN", None)]
        assert [problem.code for problem in seen.problems] == [SystemErrorCode.UPSTREAM_ERROR]
        assert not seen.complete
        upstream.answers[path("c", "all", "status")] = Reply([status(6)])
        again = await source.poll(Known())
    assert again.complete


# ---- crawls between polls


async def test_the_past_of_a_new_data_source_is_left_to_history() -> None:
    async with lucidworks(one_collection([listed(6)], [status(6)])) as (source, upstream):
        seen = await source.poll(Known())
    assert [crawl.external_id for crawl in seen.jobs] == [job(15)]
    assert not [asked for asked in upstream.paths if asked.endswith("/history")]


@cases(
    ("known", "present", "told_of", "gone", "reads"),
    [
        # the same crawl goes on, ends, or is long over
        (knows(latest=15, open_jobs=[15]), status(6, "RUNNING"), [15], [], False),
        (knows(latest=15, open_jobs=[15]), status(6, "FINISHED"), [15], [], False),
        (knows(latest=15), status(6, "RUNNING", 15), [15], [], False),
        # a new one: what was open, and the short one in between
        (knows(latest=5, open_jobs=[5]), status(6, "RUNNING"), [5, 10, 15], [], True),
        (knows(latest=5), status(6, "RUNNING"), [10, 15], [], True),
        (knows(latest=None), status(6, "RUNNING"), [2, 5, 10, 15], [], True),
        # a crash in the middle leaves no entry, and the state is the one before
        (knows(latest=12, open_jobs=[12]), status(6, "FINISHED", 10), [10], [12], True),
        (knows(latest=12), status(6, "FINISHED", 10), [10], [], False),
        (knows(latest=12, open_jobs=[12]), status(6, "IDLE", None), [], [12], True),
        # something is owed: nobody knows how far back
        (knows(latest=10, fingerprint=None), status(6, "FINISHED", 10), [2, 5, 10], [], True),
    ],
)
async def test_what_ended_behind_a_newer_crawl_is_read_from_history(
    known: Known, present: dict[str, Any], told_of: list[int], gone: list[int], reads: bool
) -> None:
    history = Reply([status(6, minute=minute) for minute in (5, 10, 2)])
    async with lucidworks(one_collection([listed(6)], [present], h6=history)) as (source, upstream):
        seen = await source.poll(known)
    assert sorted(crawl.external_id for crawl in seen.jobs) == sorted(map(job, told_of))
    assert seen.gone_jobs == {job(minute) for minute in gone}
    assert ("/api/collections/c/datasources/6/history" in upstream.paths) is reads
    assert (seen.complete, seen.problems) == (True, [])


async def test_a_crawl_that_is_long_over_is_not_told_again() -> None:
    async with lucidworks(one_collection([listed(6)], [status(6)])) as (source, _):
        first = await source.poll(Known())
        second = await source.poll(remember(Known(), first))
    assert [crawl.external_id for crawl in first.jobs] == [job(15)]
    assert second.jobs == []


async def test_the_end_of_a_crawl_in_an_unknown_state_is_told() -> None:
    going = status(6, "PONDERING", crawl_stopped=None)
    async with lucidworks(one_collection([listed(6)], [going])) as (source, upstream):
        known = remember(Known(), await source.poll(Known()))
        known.open_jobs.clear()  # nobody knows whether it is open
        upstream.answers[path("c", "all", "status")] = Reply([status(6)])
        seen = await source.poll(known)
    assert [(crawl.external_id, crawl.status.name) for crawl in seen.jobs] == [(job(15), "SUCCEEDED")]


async def test_a_server_whose_histories_fail_for_a_while_is_asked_for_all_again() -> None:
    numbers = range(6, 10)
    sources, states = [listed(number) for number in numbers], [status(number, "RUNNING") for number in numbers]
    together = path("c", "all", "history")
    down = dict.fromkeys([together, *(path("c", n, "history") for n in numbers)], Reply(text="", status=500))
    known = Known()
    for number in numbers:
        known.connectors |= knows(f"c/{number}", latest=5).connectors
    async with lucidworks({**one_collection(sources, states), **down}) as (source, upstream):
        seen = await source.poll(known)
        assert seen.owed == known.connectors.keys()
        upstream.answers[together] = Reply([{"id": n, "history": [status(n, minute=10)]} for n in numbers])
        again = await source.poll(known)
    assert not again.owed
    assert {crawl.external_id for crawl in again.jobs} == {
        job(minute, f"c/{n}") for n in numbers for minute in (10, 15)
    }


async def test_many_histories_of_a_collection_are_read_at_once() -> None:
    numbers = range(6, 16)
    known, histories = Known(), []
    for number in numbers:
        known.connectors |= knows(f"c/{number}", latest=5).connectors
        histories.append({"id": str(number), "history": [status(number, minute=5), status(number, minute=10)]})
    answers = {
        **one_collection([listed(number) for number in numbers], [status(number, "RUNNING") for number in numbers]),
        path("c", "all", "history"): Reply(histories),
    }
    async with lucidworks(answers) as (source, upstream):
        seen = await source.poll(known)
        assert len(upstream.asked) == 4
        upstream.answers[path("c", "all", "history")] = MISSING
        answers_by_id = {path("c", n, "history"): Reply(histories[n - 6]["history"]) for n in numbers}
        upstream.answers.update(answers_by_id)
        again = await source.poll(known)
        third = await source.poll(known)
    wanted = {job(minute, f"c/{number}") for number in numbers for minute in (10, 15)}
    for each in (seen, again, third):
        assert {crawl.external_id for crawl in each.jobs} == wanted
    assert len(upstream.asked) == 4 + 14 + 13


@cases(
    ("broken", "code"),
    [
        (Reply(text="", status=500), SystemErrorCode.UPSTREAM_ERROR),
        (Reply({"total_time": 7}), SystemErrorCode.MISMATCH),
        (Reply(text="<html>"), SystemErrorCode.MISMATCH),
        (Reply(text="<html>", status=404), SystemErrorCode.MISMATCH),  # of a proxy: the API's own is JSON
    ],
)
async def test_a_history_that_cannot_be_read_is_owed_until_it_can(broken: Answer, code: SystemErrorCode) -> None:
    known = knows(latest=5, open_jobs=[5])
    async with lucidworks(one_collection([listed(6)], [status(6, "RUNNING")], h6=broken)) as (source, upstream):
        seen = await source.poll(known)
        assert seen.owed == {"c/6"}
        assert seen.complete
        assert [(problem.code, "c/6" in problem.message) for problem in seen.problems] == [(code, True)]
        assert [crawl.external_id for crawl in seen.jobs] == [job(15)]
        assert not seen.gone_jobs
        known = remember(known, seen)
        upstream.answers[path("c", 6, "history")] = Reply([status(6, minute=minute) for minute in (2, 5, 10)])
        mended = await source.poll(known)
    assert {crawl.external_id for crawl in mended.jobs} == {job(5), job(10), job(15)}
    assert not mended.owed
    assert not mended.problems


async def test_an_unreadable_entry_of_a_history_is_a_problem_and_the_rest_kept() -> None:
    history = Reply([status(6, minute=5), status(6, minute=None), 7, status(6, minute=10, num_new=-1)])
    async with lucidworks(one_collection([listed(6)], [status(6)], h6=history)) as (source, _):
        seen = await source.poll(knows(latest=5, open_jobs=[5]))
    assert {crawl.external_id for crawl in seen.jobs} == {job(5), job(10), job(15)}
    assert len(seen.problems) == 3
    assert all("c/6" in problem.message for problem in seen.problems)
    assert not seen.owed


async def test_a_crawl_that_ends_between_status_and_history_is_told_once() -> None:
    ended = status(6, "FINISHED", 15, num_new=9)
    answers = one_collection([listed(6)], [status(6, "RUNNING")], h6=Reply([status(6, minute=5), ended]))
    async with lucidworks(answers) as (source, _):
        seen = await source.poll(knows(latest=5, open_jobs=[5]))
    assert {crawl.external_id: (crawl.status.name, crawl.counts.added) for crawl in seen.jobs} == {
        job(5): ("SUCCEEDED", 5),
        job(15): ("SUCCEEDED", 9),
    }


async def test_counters_that_history_leaves_out_are_taken_from_the_status() -> None:
    short = {key: value for key, value in status(6).items() if key not in ("num_failed", "batch_job", "job_id")}
    answers = {**one_collection([listed(6)], [status(6, num_failed=2)], h6=Reply([status(6, minute=5), short]))}
    async with lucidworks(answers) as (source, _):
        known = remember(Known(), await source.poll(Known()))
        jobs, finished = await collect(source, known, frozenset({"c/6"}))
    assert finished == {"c/6"}
    assert [(crawl.external_id, crawl.counts.failed) for crawl in jobs] == [(job(15), 2), (job(5), 0)]
    assert told(jobs[0].details)["extra"] == {"job_id": "6"}


# ---- looking at open crawls


async def test_a_look_asks_each_data_source_once() -> None:
    known = Known()
    for source_id in ("c/6", "c/7", "d/8"):
        known.open_jobs |= knows(source_id, open_jobs=[15]).open_jobs
    answers: dict[str, Answer] = {
        path("c", 6, "status"): Reply(status(6, "RUNNING", num_total=77)),
        path("c", 7, "status"): Reply(status(7, "STOPPED")),
        path("d", 8, "status"): Reply(status(8, "RUNNING", 20)),
        path("d", 8, "history"): Reply([status(8, minute=5), status(8, minute=15), status(8, minute=17)]),
    }
    async with lucidworks(answers) as (source, upstream):
        seen = await source.look(known, frozenset(known.open_jobs))
    assert {crawl.external_id: crawl.status.name for crawl in seen.jobs} == {
        job(15): "RUNNING",
        job(15, "c/7"): "CANCELED",
        job(15, "d/8"): "SUCCEEDED",
        job(17, "d/8"): "SUCCEEDED",
        job(20, "d/8"): "RUNNING",
    }
    assert len(upstream.asked) == 4
    assert (seen.complete, seen.problems, seen.gone_jobs) == (False, [], frozenset())


async def test_a_look_reports_what_it_could_not_read_unless_that_is_all() -> None:
    known = Known(open_jobs={job(15): "c/6", job(15, "c/7"): "c/7", "orphan": None})
    answers: dict[str, Answer] = {
        path("c", 6, "status"): Reply(status(6, "RUNNING", num_failed=-1)),
        path("c", 7, "status"): Reply(text="", status=503),
    }
    async with lucidworks(answers) as (source, upstream):
        seen = await source.look(known, frozenset(known.open_jobs))
        assert [crawl.external_id for crawl in seen.jobs] == [job(15)]
        assert {problem.code for problem in seen.problems} == {SystemErrorCode.UPSTREAM_ERROR, SystemErrorCode.MISMATCH}
        with pytest.raises(SourceUnreachable):
            await source.look(known, frozenset({job(15, "c/7")}))
        upstream.asked.clear()
        nothing = await source.look(known, frozenset({"orphan"}))
    assert (nothing.jobs, nothing.problems, upstream.asked) == ([], [], [])


# ---- history


async def test_history_reads_every_collection_and_tells_the_running_crawl_too() -> None:
    answers = one_collection(
        [listed(6)], [status(6, "RUNNING")], h6=Reply([status(6, minute=minute) for minute in (10, 2, 5)])
    )
    async with lucidworks(answers) as (source, _):
        jobs, finished = await collect(source, Known(), frozenset({"c/6", "gone/1"}))
    assert [crawl.external_id for crawl in jobs] == [job(15), job(10), job(5), job(2)]
    assert finished == {"c/6", "gone/1"}


async def test_history_leaves_out_what_it_cannot_read_and_fails_only_for_all() -> None:
    answers = {
        **one_collection([], [status(6), status(7)], h6=Reply([status(6, minute=5)]), h7=Reply(7)),
        path("d", "all", "status"): Reply(text="", status=503),
    }
    async with lucidworks(answers) as (source, _):
        jobs, finished = await collect(source, Known(), frozenset({"c/6", "c/7"}))
        assert finished == {"c/6"}
        assert {crawl.external_id for crawl in jobs} == {job(5), job(15)}
        batches = list[HistoryBatch]()

        async def read_all() -> None:
            async for batch in source.history(Known(), frozenset({"c/6", "d/9"})):
                batches.append(batch)

        with pytest.raises(SourceUnreachable):
            await read_all()
    assert [batch.finished for batch in batches] == [{"c/6"}]


# ---- secrets


async def test_every_attribute_is_readable_but_for_secrets() -> None:
    sent = listed(
        6,
        url="smb://user:hush1@files.example.com/?password=hush2&x=1",
        username="reader",
        password="hush3",
        auth=[{"username": "reader", "password": "hush4"}],
        account_key="hush5",
        consumer_secret="hush6",
        consumer_key="hush7",
        settings=[{"name": "gcm_password", "value": "hush8"}, {"name": "depth", "value": "2"}],
        connect="jdbc:sqlserver://db;user=reader;password=hush9;encrypt=true",
        primary_key="id",
        empty_password="",
        max_docs=-1,
        mapping=None,
        verify_access=True,
    )
    async with lucidworks(one_collection([sent], [status(6, message="no route to http://u:hush0@x/")])) as (source, _):
        seen = await source.poll(Known())
    assert "hush" not in repr(seen)
    extra = told(seen.connectors[0].details)["extra"]
    assert extra == {
        "type": "web",
        "crawler": "lucid.aperture",
        "url": "smb://files.example.com/?password=[redacted]&x=1",
        "username": "reader",
        "password": "[redacted]",
        "auth": "[redacted]",
        "account_key": "[redacted]",
        "consumer_secret": "[redacted]",
        "consumer_key": "[redacted]",
        "settings": [{"name": "gcm_password", "value": "[redacted]"}, {"name": "depth", "value": "2"}],
        "connect": "jdbc:sqlserver://db;user=reader;password=[redacted];encrypt=true",
        "primary_key": "id",
        "empty_password": "",
        "max_docs": -1,
        "mapping": None,
        "verify_access": True,
    }
    assert seen.jobs[0].error_message == "no route to http://x/"


@cases("large", ["x" * 100_000, ["x" * 1_000] * 100, {"deep": [{"of": "x" * 100_000}]}])
async def test_an_unknown_value_that_is_too_large_leaves_a_note(large: object) -> None:
    answers = one_collection([listed(6, padding=large)], [status(6, padding=large)])
    answers["GET /api/collections"] = Reply([{"name": "c", "padding": large}])
    async with lucidworks(answers) as (source, _):
        seen = await source.poll(Known())
    assert seen.complete
    assert not seen.problems
    connector, crawl = told(seen.connectors[0].details), told(seen.jobs[0].details)
    notes = [place["padding"] for place in (connector["collection_extra"], connector["extra"], crawl["extra"])]
    assert [note.partition(":")[0] for note in notes] == ["[left out"] * 3
    assert len(repr(seen)) < 10_000


@cases(
    ("said", "shown"),
    [
        ("nothing to hide: a = 1, see http://docs.example.com/?page=2", None),
        ("http://u:hush@x/ and smb://hush@y/", "http://x/ and smb://y/"),
        ("db_password=hush;x=1", "db_password=[redacted];x=1"),
        ("my-api-secret = hush&x=1", "my-api-secret=[redacted]&x=1"),
        ("-Dtoken=hush -Dx=1", "-Dtoken=[redacted] -Dx=1"),
        ("ACCOUNT_KEY=hush== next", "ACCOUNT_KEY=[redacted] next"),
    ],
)
def test_texts_are_shown_without_the_credentials_in_them(said: str, shown: str | None) -> None:
    assert redacted(said) == (shown or said)


@cases("piece", ["a-", "x", "password", "://", "=", "token ", "http://a:b:", "://@", "pwd= "])
def test_long_texts_are_searched_in_passing(piece: str) -> None:
    began = perf_counter()
    redacted(piece * (200_000 // len(piece)) + " password=hush ://")
    assert perf_counter() - began < 1.0


# ---- Fusion


def fusion_job(name: str, word: str = "success", minute: int | None = 15, **changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"resource": f"datasource:{name}", "enabled": True, "status": word, "extra": {}, **changes}
    if minute is not None:
        entry["lastStartTime"] = f"2013-03-04T09:{minute:02}:00.052Z"
        if word != "running":
            entry["lastEndTime"] = f"2013-03-04T09:{minute:02}:30.800Z"
    return entry


def fusion_run(name: str, minute: int, word: str = "success") -> dict[str, Any]:
    start, end = (f"2013-03-04T09:{minute:02}:{second}Z" for second in ("00.052", "30.800"))
    return {
        "resource": f"datasource:{name}",
        "runId": f"run{minute}",
        "startTime": start,
        "endTime": end,
        "status": word,
        "extra": {},
    }


def fusion_server(sources: Answer | None, jobs: Answer, **histories: Answer) -> dict[str, Answer]:
    answers: dict[str, Answer] = {"GET /api/jobs": jobs}
    if sources is not None:
        answers["GET /api/connectors/datasources"] = sources
    return answers | {f"GET /api/jobs/datasource:{name}/history": answer for name, answer in histories.items()}


@cases("sources", [None, Reply(text="", status=405), Reply({"message": "no"}, 403)])
async def test_the_job_list_alone_names_the_data_sources(sources: Answer | None) -> None:
    jobs = Reply([fusion_job("docs"), fusion_job("docs"), {**fusion_job("x"), "resource": "spark:roll-up"}, {"id": 7}])
    async with lucidworks(fusion_server(sources, jobs), dialect="fusion") as (source, upstream):
        seen = await source.poll(Known())
    assert [(fact.external_id, fact.name, fact.source) for fact in seen.connectors] == [("docs", "docs", "unknown")]
    assert [crawl.external_id for crawl in seen.jobs] == [job(15, "docs")]
    assert not seen.complete
    assert [problem.message for problem in seen.problems] == ["entry 3 of the jobs: resource: missing or not readable"]
    assert upstream.asked[1].query == {"type": "datasource"}


async def test_data_sources_of_fusion_tell_name_type_and_collection() -> None:
    sent = {
        "id": "docs",
        "type": "lucidworks.fs",
        "connector": "lucidworks.fs",
        "created": "2026-08-01T00:00:00.000Z",
        "modified": "2026-08-02T00:00:00.000Z",
        "properties": {"collection": "c", "password": "hush", "depth": 2},
    }
    async with lucidworks(fusion_server(Reply([sent, sent, {}]), Reply([])), dialect="fusion") as (source, _):
        seen = await source.poll(Known())
    (fact,) = seen.connectors
    assert (fact.name, fact.source, fact.status) == ("docs", "fs", ConnectorStatus.INACTIVE)
    assert fact.created_at is not None
    assert fact.updated_at is not None
    assert told(fact.details)["collection"] == "c"
    assert told(fact.details)["extra"]["properties"] == {"collection": "c", "password": "[redacted]", "depth": 2}
    assert not seen.complete


async def test_fusion_can_be_asked_for_some_collections() -> None:
    def by_collection(asked: Any) -> Reply:
        return Reply([{"id": f"of-{asked.query['collection']}", "type": "web"}])

    jobs = Reply([fusion_job("of-a"), fusion_job("elsewhere")])
    settings: dict[str, Any] = {"dialect": "fusion", "collections": ["a", "b"]}
    async with lucidworks(fusion_server(by_collection, jobs), **settings) as (source, _):
        seen = await source.poll(Known())
    assert [fact.external_id for fact in seen.connectors] == ["of-a", "of-b"]
    async with lucidworks(fusion_server(None, jobs), **settings) as (source, _):
        with pytest.raises(SourceMismatch, match="which collection"):
            await source.poll(Known())


@cases(
    ("jobs", "error"),
    [
        (Reply(text="", status=404), SourceMismatch),
        (Reply({"jobs": []}), SourceMismatch),
        (Reply(text="", status=500), SourceUnreachable),
        (Reply({"httpStatusCode": 401, "message": "Unauthorized"}, 401), SourceAuthFailed),
        (Reply({"message": "no"}, 403), SourceAuthFailed),
    ],
)
async def test_without_jobs_and_data_sources_there_is_no_fusion(jobs: Answer, error: type[SourceError]) -> None:
    async with lucidworks(fusion_server(None, jobs), dialect="fusion") as (source, _):
        with pytest.raises(error):
            await source.poll(Known())


async def test_a_run_of_fusion_that_ended_gets_its_number_from_history() -> None:
    history = Reply([fusion_run("docs", 15), fusion_run("docs", 5)])
    async with lucidworks(fusion_server(None, Reply([fusion_job("docs")]), docs=history), dialect="fusion") as (
        source,
        _,
    ):
        seen = await source.poll(knows("docs", latest=15, open_jobs=[15]))
        later = await source.poll(remember(knows("docs", latest=15), seen))
    assert [(crawl.external_id, told(crawl.details)["extra"]) for crawl in seen.jobs] == [
        (job(15, "docs"), {"runId": "run15"})
    ]
    assert later.jobs == []


async def test_a_new_run_of_fusion_brings_those_behind_it() -> None:
    history = Reply([fusion_run("docs", minute) for minute in (10, 5)])
    jobs = Reply([fusion_job("docs", "running")])
    async with lucidworks(fusion_server(None, jobs, docs=history), dialect="fusion") as (source, _):
        seen = await source.poll(knows("docs", latest=5))
    assert [crawl.external_id for crawl in seen.jobs] == [job(15, "docs"), job(10, "docs")]


async def test_an_unreadable_job_of_fusion_is_a_problem() -> None:
    jobs = Reply([fusion_job("docs", status=7), fusion_job("web", extra={"counter.input": -1, "counter.new": 3})])
    async with lucidworks(fusion_server(None, jobs), dialect="fusion") as (source, _):
        first, again = await source.poll(Known()), await source.poll(knows("docs"))
    assert {fact.external_id: fact.status.name for fact in first.connectors} == {"docs": "UNKNOWN", "web": "ACTIVE"}
    assert [fact.external_id for fact in again.connectors] == ["web"]
    assert not first.complete
    assert [(crawl.counts.total, crawl.counts.added) for crawl in first.jobs] == [(None, 3)]
    assert len(first.problems) == 2


async def test_old_fusion_is_asked_for_the_job_of_each_data_source() -> None:
    answers: Mapping[str, Answer] = {
        "GET /api/connectors/datasources": Reply([{"id": "a b", "type": "web"}, {"id": "new", "type": "web"}]),
        "GET /api/connectors/jobs/a b": Reply({"id": "a b", "state": "RUNNING", "startTime": 1362388500000}),
        "GET /api/connectors/history/a b": Reply([{"id": "a b", "crawl_started": at(5), "crawl_state": "FINISHED"}]),
    }
    async with lucidworks(answers, dialect="fusion") as (source, upstream):
        seen = await source.poll(Known())
        again = await source.poll(knows("a b", latest=5, open_jobs=[5]))
        looked = await source.look(knows("a b", open_jobs=[15]), frozenset({job(15, "a b")}))
    assert [fact.status.name for fact in seen.connectors] == ["ACTIVE", "INACTIVE"]
    assert [crawl.external_id for crawl in seen.jobs] == [job(15, "a b")]
    assert {crawl.external_id for crawl in again.jobs} == {job(15, "a b"), job(5, "a b")}
    assert [crawl.external_id for crawl in looked.jobs] == [job(15, "a b")]
    assert upstream.paths.count("/api/jobs") == 1
