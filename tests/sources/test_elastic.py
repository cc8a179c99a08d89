"""The Elastic adapter: the contract of all adapters, and what only Elastic makes necessary (elastic.md §3)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from connectory.model import ConnectorStatus, JobStatus, Known, Observation, SystemErrorCode
from schema.connector_details import ElasticConnectorDetails
from schema.job_details import ElasticJobDetails
from sources.base import SourceAuthFailed, SourceMismatch
from sources.elastic import SOURCE
from sources.elastic.mapping import CONNECTOR_DETAILS, JOB_DETAILS, SNAPSHOT_DETAILS
from sources.elastic.simulator.app import simulator
from sources.elastic.simulator.checks import API_KEY, LIMITED_API_KEY, PASSWORD, TOKEN, USERNAME
from sources.elastic.simulator.world import ElasticWorld
from sources.elastic.source import ElasticSource
from sources.simulation import FAULTS, Clock, serve
from tests.sources.cases import cases
from tests.sources.contract import START, Hand, SourceContract, check_job, collect, remember
from tests.sources.elastic_stage import Elastic, a_server, ago, ids, reading, remembered, since


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


@pytest.fixture
async def elastic() -> AsyncIterator[Elastic]:
    elastic = Elastic()
    async with elastic.running:
        yield elastic


@pytest.fixture
async def source(elastic: Elastic) -> AsyncIterator[ElasticSource]:
    async with reading(elastic) as source:
        yield source


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


# ---- the lists


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
