"""What polls leave of jobs, and what connectors take over from theirs."""

from dataclasses import replace
from typing import Any

import pytest

from connectory.model import ConnectorHealth, CountsFact, EventKind, JobFact, JobStatus, JobType
from connectory.store import Store
from connectory.store.tables import CONNECTORS, JOBS
from sources.base import ROLLED_UP
from tests.engine.stage import Stage, rows
from tests.facts import at, connector, job

A = connector("a")
RUNNING = job("1", status=JobStatus.RUNNING)


@pytest.fixture
async def stage(store: Store) -> Stage:
    return await Stage.open(store)


@pytest.fixture
async def lite(sqlite_store: Store) -> Stage:
    """On SQLite alone, for what has nothing to do with the database."""
    return await Stage.open(sqlite_store)


async def test_an_open_job_that_is_no_longer_served_becomes_unknown(stage: Stage) -> None:
    await stage.poll([A], [RUNNING])
    start = len(await stage.kinds())
    await stage.poll([A], gone={"1"})
    row = await stage.job("1")
    assert (row["status"], row["is_open"], row["observed_at"]) == (JobStatus.UNKNOWN, False, at(15))
    assert row["upstream_status"] == RUNNING.upstream_status
    assert stage.known.open_jobs == {}
    assert await stage.kinds(start) == [EventKind.CONNECTOR_CHANGED, EventKind.JOB_FINISHED]
    assert (await stage.events())[-1]["status"] == JobStatus.UNKNOWN.value
    assert row["vanished_at"] == at(30)
    assert (await stage.connector())["in_progress"] is False
    assert await stage.poll([A], gone={"1"}) is None, "it is told once"
    assert (await stage.job("1"))["observed_at"] == at(15)


async def test_a_gone_job_that_had_ended_keeps_its_end(lite: Stage) -> None:
    await lite.poll([A], [job("1")])
    assert await lite.poll([A], gone={"1", "never seen"}) is None
    assert (await lite.job("1"))["status"] is JobStatus.SUCCEEDED


async def test_a_gone_job_that_is_served_again_is_open_again(lite: Stage) -> None:
    await lite.poll([A], [RUNNING])
    await lite.poll([A], gone={"1"})
    await lite.poll([A], [RUNNING])
    row = await lite.job("1")
    assert (row["status"], row["is_open"], row["observed_at"]) == (JobStatus.RUNNING, True, None)
    assert row["vanished_at"] is None
    assert lite.known.open_jobs == {"1": "a"}


@pytest.mark.parametrize(
    ("back", "kinds"),
    [
        ([job("1")], [EventKind.JOB_FINISHED]),
        ([RUNNING, job("1")], [EventKind.JOB_CHANGED, EventKind.JOB_FINISHED]),
        ([replace(RUNNING, status=JobStatus.UNKNOWN)], [EventKind.JOB_CHANGED]),
    ],
)
async def test_a_gone_job_that_is_served_again_may_end_as_any_other(
    lite: Stage, back: list[JobFact], kinds: list[EventKind]
) -> None:
    await lite.poll([A], [RUNNING])
    await lite.poll([A], gone={"1"})
    start = len(await lite.kinds())
    for fact in back:
        await lite.poll([A], [fact])
    assert [kind for kind in await lite.kinds(start) if kind is not EventKind.CONNECTOR_CHANGED] == kinds
    row = await lite.job("1")
    assert (row["status"], row["vanished_at"]) == (back[-1].status, None)


async def test_a_gone_job_is_no_last_one_that_ended_and_none_to_judge_by(stage: Stage) -> None:
    """It is the latest job until there is a newer one."""
    first, second = job("1", status=JobStatus.FAILED, order_at=at(0)), replace(RUNNING, external_id="2", order_at=at(1))
    await stage.poll([A], [first, second])
    await stage.poll([A], gone={"2"})
    row = await stage.connector()
    assert (row["latest_job_id"], row["last_job_status"]) == ((await stage.job("2"))["id"], JobStatus.UNKNOWN)
    assert (row["last_finished_job_status"], row["health"]) == (JobStatus.FAILED, ConnectorHealth.FAILING)
    await stage.poll([A], [job("3", order_at=at(2))])
    row = await stage.connector()
    assert (row["latest_job_id"], row["health"]) == ((await stage.job("3"))["id"], ConnectorHealth.HEALTHY)


async def test_a_job_whose_run_ended_without_a_word_is_canceled(stage: Stage) -> None:
    await stage.poll([A], [replace(RUNNING, processed=7)])
    start = len(await stage.kinds())
    await stage.poll([A], canceled={"1"}, gone={"1"})
    row = await stage.job("1")
    assert (row["status"], row["is_open"], row["processed"], row["completed_at"]) == (
        JobStatus.CANCELED,
        False,
        7,
        None,
    )
    assert row["observed_at"] == at(15)
    assert (await stage.connector())["last_finished_job_status"] is JobStatus.CANCELED
    assert await stage.kinds(start) == [EventKind.CONNECTOR_CHANGED, EventKind.JOB_FINISHED]
    assert stage.known.open_jobs == {}
    assert await stage.poll([A], canceled={"1"}) is None, "it is told once"


async def test_open_jobs_of_a_removed_connector_are_gone_with_it(stage: Stage) -> None:
    await stage.poll([A, connector("b")], [RUNNING, job("2", "b", JobStatus.PENDING)])
    await stage.poll([connector("b")])
    assert (await stage.job("1"))["is_open"], "one miss removes nothing"
    await stage.poll([connector("b")])
    row = await stage.job("1")
    assert (row["status"], row["is_open"]) == (JobStatus.UNKNOWN, False)
    assert row["connector_id"] == (await stage.connector())["id"]
    assert stage.known.open_jobs == {"2": "b"}


async def test_an_open_job_found_after_its_connector_was_removed_does_not_stay_open(lite: Stage) -> None:
    await lite.poll([A, connector("b")])
    for _ in range(2):
        await lite.poll([connector("b")])
    await lite.history([RUNNING])
    assert lite.known.open_jobs == {"1": "a"}
    await lite.poll([connector("b")])
    assert (await lite.job("1"))["is_open"] is False
    assert lite.known.open_jobs == {}


async def test_orphans_are_kept_and_find_their_connector_when_it_comes(stage: Stage) -> None:
    await stage.poll([A], [job("1", "later", docs_in_index=7), job("2", None, source="web")])
    assert (await stage.job("2"))["connector_id"] is None
    assert len(await rows(stage.store, CONNECTORS)) == 1
    await stage.poll([A, connector("later")])
    row = await stage.connector("later")
    assert row["latest_job_id"] == (await stage.job("1"))["id"]
    assert row["docs_indexed"] == 7


async def test_a_job_that_moves_to_another_connector_leaves_the_first_one(lite: Stage) -> None:
    await lite.poll([A, connector("b")], [RUNNING])
    await lite.poll([A, connector("b")], [replace(RUNNING, connector="b")])
    assert (await lite.connector("a"))["latest_job_id"] is None
    assert (await lite.connector("a"))["in_progress"] is False
    assert (await lite.connector("b"))["in_progress"] is True
    assert lite.known.connectors["a"].latest_job is None
    assert lite.known.open_jobs == {"1": "b"}


async def test_counters_of_63_bits(stage: Stage) -> None:
    most = 2**63 - 1
    counts = CountsFact(**dict.fromkeys(("indexed", "added", "failed", "total", "volume_bytes"), most))
    fact = job("1", counts=counts, processed=most, total=most, docs_in_index=most, sequence=most)
    await stage.poll([connector("a", latest_job_docs_indexed=most)], [fact])
    row = await stage.job("1")
    names = ("indexed", "added", "failed", "counted_total", "volume_bytes", "processed", "expected_total", "sequence")
    assert {row[name] for name in names} == {most}
    assert (await stage.connector())["docs_indexed"] == most
    assert (await stage.events())[1]["processed"] == most


async def test_what_is_not_told_is_null(lite: Stage) -> None:
    await lite.poll([A], [job("1", counts=CountsFact(indexed=0))])
    row = await lite.job("1")
    assert (row["indexed"], row["added"], row["processed"], row["stages"]) == (0, None, None, None)


# ---- roll-ups

ENDED = job("1", order_at=at(1), completed_at=at(2), counts=CountsFact(indexed=3), docs_in_index=100)
FAILED = job("2", status=JobStatus.FAILED, order_at=at(3), completed_at=at(4), counts=CountsFact(indexed=5))
BEGUN = job("3", status=JobStatus.RUNNING, order_at=at(5), counts=CountsFact(indexed=1))
PERMISSIONS = job("4", type=JobType.ACCESS_CONTROL, order_at=at(6), completed_at=at(7), docs_in_index=9)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], (None, None, None, None, False, None, None)),
        ([PERMISSIONS], (None, None, None, None, False, None, None)),
        ([ENDED], (100, 3, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED, False, at(2), at(2))),
        ([ENDED, FAILED], (100, 5, JobStatus.FAILED, JobStatus.FAILED, False, at(2), at(4))),
        ([BEGUN, FAILED, ENDED], (100, 1, JobStatus.RUNNING, JobStatus.FAILED, True, at(2), at(4))),
        ([ENDED, BEGUN, PERMISSIONS], (100, 1, JobStatus.RUNNING, JobStatus.SUCCEEDED, True, at(2), at(2))),
        (
            [replace(BEGUN, status=JobStatus.CANCELING), ENDED],
            (100, 1, JobStatus.CANCELING, JobStatus.SUCCEEDED, True, at(2), at(2)),
        ),
        ([replace(BEGUN, status=JobStatus.PENDING)], (None, 1, JobStatus.PENDING, None, False, None, None)),
        ([replace(BEGUN, status=JobStatus.SUSPENDED)], (None, 1, JobStatus.SUSPENDED, None, False, None, None)),
        # an unknown word beside an end: it has ended, nobody knows how
        (
            [replace(FAILED, status=JobStatus.UNKNOWN)],
            (None, 5, JobStatus.UNKNOWN, JobStatus.UNKNOWN, False, None, at(4)),
        ),
        (
            [replace(ENDED, status=JobStatus.SUCCEEDED_WITH_ERRORS)],
            (100, 3, JobStatus.SUCCEEDED_WITH_ERRORS, JobStatus.SUCCEEDED_WITH_ERRORS, False, at(2), at(2)),
        ),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_roll_ups(lite: Stage, jobs: list[Any], expected: tuple[Any, ...], at_once: bool) -> None:
    await lite.poll([A], jobs if at_once else [])
    for fact in [] if at_once else jobs:
        await lite.poll([A], [fact])
    row = await lite.connector()
    names = (
        "docs_indexed", "latest_job_docs_indexed", "last_job_status", "last_finished_job_status", "in_progress",
        "last_success_at", "last_sync_at",
    )  # fmt: skip
    assert tuple(row[name] for name in names) == expected


async def test_roll_ups_on_both_stores(stage: Stage) -> None:
    await stage.poll([A], [ENDED, FAILED, BEGUN, PERMISSIONS])
    row = await stage.connector()
    assert row["latest_job_id"] == (await stage.job("3"))["id"]
    assert (row["docs_indexed"], row["last_success_at"], row["last_sync_at"]) == (100, at(2), at(4))
    assert stage.known.connectors["a"].latest_job == "3"


@pytest.mark.parametrize("rolls_up", [frozenset[str](), *(frozenset({name}) for name in sorted(ROLLED_UP))])
async def test_what_the_kind_does_not_leave_to_jobs_is_as_the_fact_tells_it(
    sqlite_store: Store, rolls_up: frozenset[str]
) -> None:
    stage = await Stage.open(sqlite_store, rolls_up=rolls_up)
    fact: dict[str, Any] = {
        "docs_indexed": 1,
        "latest_job_docs_indexed": 2,
        "last_job_status": JobStatus.CANCELED,
        "last_finished_job_status": JobStatus.INTERRUPTED,
        "in_progress": False,
        "last_success_at": at(-1),
        "last_sync_at": at(-2),
    }
    rolled = {
        "docs_indexed": 100,
        "latest_job_docs_indexed": 1,
        "last_job_status": JobStatus.RUNNING,
        "last_finished_job_status": JobStatus.SUCCEEDED,
        "in_progress": True,
        "last_success_at": at(2),
        "last_sync_at": at(2),
    }
    await stage.poll([connector("a", **fact)], [ENDED, BEGUN])
    row = await stage.connector()
    assert {name: row[name] for name in fact} == fact | {name: rolled[name] for name in rolls_up}
    assert row["latest_job_id"] == (await stage.job("3"))["id"], "the newest job is known in any case"


async def test_a_connector_that_changes_keeps_what_its_jobs_told(lite: Stage) -> None:
    await lite.poll([A], [ENDED])
    await lite.poll([replace(A, name="Other")])
    row = await lite.connector()
    assert (row["name"], row["docs_indexed"], row["last_job_status"]) == ("Other", 100, JobStatus.SUCCEEDED)
    assert (await lite.events())[-1]["changed_fields"] == "name"


# ---- order


async def test_numbers_decide_which_job_is_the_newest(stage: Stage) -> None:
    numbered = [job(f"{n}", sequence=n, order_at=at(1000 - n)) for n in (30, 10, 20)]
    await stage.poll([A], numbered)
    await stage.poll([A], [job("25", sequence=25, order_at=at(5000)), job("31", sequence=31, order_at=at(-5000))])
    await stage.history([job(f"{n}", sequence=n, order_at=at(n)) for n in (29, 24, 5)])
    for number, moment in ((26, at(99_999)), (21, at(-99_999))):  # one alone, between jobs of earlier commits
        await stage.history([job(f"{number}", sequence=number, order_at=moment)])
    placed = sorted(await rows(stage.store, JOBS), key=lambda row: row["created_order"])
    assert [row["sequence"] for row in placed] == [5, 10, 20, 21, 24, 25, 26, 29, 30, 31]
    assert len({row["created_order"] for row in placed}) == 10
    assert (await stage.connector())["latest_job_id"] == (await stage.job("31"))["id"]


async def test_a_place_once_given_stays(lite: Stage) -> None:
    await lite.poll([A], [replace(RUNNING, sequence=4, order_at=at(1))])
    place = (await lite.job("1"))["created_order"]
    await lite.poll([A], [replace(RUNNING, sequence=4, order_at=at(99), started_at=at(99))])
    row = await lite.job("1")
    assert (row["created_order"], row["started_at"]) == (place, at(99))


# ---- history


async def test_history_adds_and_marks_what_is_read(stage: Stage) -> None:
    await stage.poll([A], [BEGUN])
    start = len(await stage.kinds())
    await stage.history([FAILED, ENDED], "a")
    assert await stage.kinds(start) == [EventKind.CONNECTOR_CHANGED, EventKind.JOB_CREATED, EventKind.JOB_CREATED]
    row = await stage.connector()
    assert row["history_read"]
    assert (row["last_job_status"], row["docs_indexed"]) == (JobStatus.RUNNING, 100)
    assert await stage.history([FAILED, ENDED], "a") is None, "nothing is doubled"
    await stage.restart()
    assert stage.known.connectors["a"].history_read


async def test_history_read_before_a_poll_and_stored_after_it_takes_nothing_back(stage: Stage) -> None:
    await stage.poll([A], [BEGUN])
    read = replace(BEGUN, counts=CountsFact(indexed=2))
    await stage.poll([A], [replace(BEGUN, status=JobStatus.SUCCEEDED, counts=CountsFact(indexed=9))])
    assert await stage.history([read, replace(BEGUN, external_id="5", order_at=at(0))]) is not None
    row = await stage.job("3")
    assert (row["status"], row["indexed"], row["is_open"]) == (JobStatus.SUCCEEDED, 9, False)
    assert stage.known.open_jobs == {"5": "a"}
    assert (await stage.kinds()).count(EventKind.JOB_FINISHED) == 1


async def test_history_tells_the_end_of_a_job_that_was_open(lite: Stage) -> None:
    await lite.poll([A], [BEGUN])
    await lite.history([replace(BEGUN, status=JobStatus.SUCCEEDED, completed_at=at(9))])
    assert (await lite.job("3"))["status"] is JobStatus.SUCCEEDED
    assert lite.known.open_jobs == {}
