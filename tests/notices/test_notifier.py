"""What becomes a notice: once when it fails or gets stuck, once when it is over, on both stores."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    ConnectorStatus,
    JobFact,
    JobStatus,
    NoticeKind,
    SystemErrorCode,
)
from connectory.notices import notifier
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.leases.rows import LeaseLost
from connectory.store.reads.notice_state import read_notice_state
from connectory.store.tables import LOG_HEAD, NOTICES
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from connectory.store.writes.notices import write_notices
from connectory.store.writes.registration import Registration, register_systems
from tests.cursors import forget
from tests.facts import at, connector, job
from tests.notices.scene import Scene, deliveries, notices, told

STUCK = ConditionCode.NO_PROGRESS


def receiver(name: str = "pager", **more: Any) -> ReceiverSettings:
    said = {"name": name, "url": "http://127.0.0.1:9/", "secret": "x" * 16, **more}
    return ReceiverSettings.model_validate(said)


async def scene(store: Store, *receivers: ReceiverSettings) -> Scene:
    found = await Scene.open(store)
    assert isinstance(found, Scene)
    found.receivers = receivers or (receiver(),)
    return found


async def answered(on: Scene, look: Callable[[], Awaitable[bool]]) -> None:
    """Look, and after each of two further answers again: then a condition that is absent is over."""
    await look()
    for _ in range(2):
        assert (await notices(on.store))[-1]["recovered_at"] is None
        await on.poll([connector()])
        await look()


def failed(number: int, at_seconds: float, of: str = "a") -> JobFact:
    times = {"started_at": at(at_seconds - 5), "completed_at": at(at_seconds), "order_at": at(at_seconds)}
    return job(str(number), of, JobStatus.FAILED, error_message=f"Broke {number}.", **times)


async def test_failures_of_a_connector_are_one_notice_until_its_next_success(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()])
    assert not await look()
    await on.poll([connector()], [failed(1, 20)])
    assert await look()
    (notice,) = await notices(store)
    assert (notice["kind"], notice["code"], notice["recovered_at"]) == (NoticeKind.JOB_FAILED, None, None)
    assert notice["title"] == "Connector a (scripted): a job failed"
    assert (notice["message"], notice["job_id"]) == ("Broke 1.", global_id(JOB, "scripted", "1"))
    assert (notice["since"], notice["raised_at"]) == (at(20), on.now)
    await on.poll([connector()], [failed(1, 20), failed(2, 40)])
    await look()
    await on.holds(ConditionCode.REPEATED_FAILURES, message="Its last 2 runs failed.", lastError="Broke 2.")
    await look()
    await on.poll([connector()], [job("3", status=JobStatus.CANCELED, order_at=at(50), completed_at=at(50))])
    await look()
    assert await told(store) == [("pager", "RAISED")]
    (notice,) = await notices(store)
    assert notice["code"] is ConditionCode.REPEATED_FAILURES
    assert notice["message"] == "Its last 2 runs failed. Broke 2."
    assert notice["job_id"] == global_id(JOB, "scripted", "1")
    await on.poll([connector()], [job("4", order_at=at(70), completed_at=at(70))])
    await look()
    await on.clears(ConditionCode.REPEATED_FAILURES)
    await look()
    (notice,) = await notices(store)
    assert notice["recovery_message"] == "Its last job succeeded."
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]
    await on.poll([connector()], [failed(5, 90)])
    await look()
    assert len(await notices(store)) == 2


async def test_a_condition_is_told_once_it_has_held_for_a_while(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    running = job("1", status=JobStatus.RUNNING, started_at=at(0))
    await on.poll([connector()], [running])
    await on.holds(STUCK, job="1")
    await look()
    for _ in range(3):  # 45 seconds
        await on.poll([connector()], [running])
        assert not await look()
    assert (await notices(store), await told(store)) == ([], [])
    await on.poll([connector()], [running])
    assert await look()
    await on.holds(STUCK, job="1", severity=ConditionSeverity.CRITICAL)
    await look()
    await on.poll([connector()], [running])
    await look()
    (notice,) = await notices(store)
    assert (notice["kind"], notice["severity"]) == (NoticeKind.CONDITION, ConditionSeverity.CRITICAL)
    assert notice["raised_at"] == at(75)
    await on.clears(STUCK, job="1")
    await on.poll([connector()], [job("1", started_at=at(0), completed_at=at(80))])
    await answered(on, look)
    (notice,) = await notices(store)
    assert notice["recovery_message"] == "The job has ended: SUCCEEDED."
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]


async def test_what_is_over_before_that_is_never_told(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()])
    await on.holds(STUCK)
    await look()
    await on.poll([connector()])
    await look()
    await on.clears(STUCK)
    await look()
    on.seconds += 600
    await on.poll([connector()])
    await look()
    assert (await notices(store), await told(store)) == ([], [])


async def test_two_jobs_of_a_connector_with_the_same_condition_are_one_notice(store: Store) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    look = on.notifier().look
    running = [job(id, status=JobStatus.RUNNING, started_at=at(0)) for id in ("1", "2")]
    await on.poll([connector()], running)
    await on.holds(STUCK, job="1")
    await on.holds(STUCK, job="2")
    await look()
    await on.clears(STUCK, job="1")
    await look()
    assert await told(store) == [("pager", "RAISED")]
    await on.clears(STUCK, job="2")
    await answered(on, look)
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]


async def test_a_system_that_is_down_is_one_notice_whatever_its_connectors_show(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    names = [f"c{n}" for n in range(30)]
    connectors = [connector(name) for name in names]
    running = [job(f"j-{name}", name, JobStatus.RUNNING, started_at=at(0)) for name in names]
    await on.poll(connectors, running)
    await on.holds(STUCK, "c0", "j-c0")
    await look()
    for _ in range(8):
        await on.fail()
        await look()
    ended = [job(f"j-{name}", name, JobStatus.FAILED, started_at=at(0), completed_at=at(60)) for name in names[1:]]
    for name in names[1:]:
        await on.holds(STUCK, name, f"j-{name}", ConditionSeverity.CRITICAL)
        await look()
    (notice,) = await notices(store)
    assert (notice["kind"], notice["title"]) == (NoticeKind.SYSTEM_DOWN, "scripted is down")
    for name in names:
        await on.clears(STUCK, name, f"j-{name}")
    await on.poll(connectors, [*ended, running[0]])
    await look()
    on.seconds += 100
    await on.poll(connectors, [*ended, running[0]])
    await look()
    (notice,) = await notices(store)
    assert notice["recovery_message"].startswith("scripted answers again, after 1")
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]
    again = job("again", "c1", JobStatus.FAILED, order_at=on.now, completed_at=on.now)
    await on.poll(connectors, [again])
    await look()
    assert [row["kind"] for row in await notices(store)] == [NoticeKind.SYSTEM_DOWN, NoticeKind.JOB_FAILED]


@pytest.mark.parametrize("code", [SystemErrorCode.UNREACHABLE, SystemErrorCode.AUTH_FAILED])
async def test_a_refusal_within_an_outage_is_no_recovery(sqlite_store: Store, code: SystemErrorCode) -> None:
    on = await scene(sqlite_store)
    look = on.notifier().look
    await on.poll([connector()])
    await look()
    for _ in range(4):
        for said in (code, code, SystemErrorCode.RATE_LIMITED):
            await on.fail(said)
            await look()
    await on.poll([connector()])
    await look()
    assert await told(sqlite_store) == [("pager", "RAISED"), ("pager", "RECOVERED")]


async def test_what_was_open_before_an_outage_goes_on_after_it(store: Store) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    look = on.notifier().look
    await on.poll([connector()], [failed(1, 10)])
    await on.holds(STUCK)
    await look()
    for _ in range(3):
        await on.fail(SystemErrorCode.AUTH_FAILED)
        await look()
    await on.poll([connector()], [failed(1, 10)])
    await look()
    rows = await notices(store)
    assert {row["kind"]: row["recovered_at"] is not None for row in rows} == {
        NoticeKind.JOB_FAILED: False,
        NoticeKind.CONDITION: False,
        NoticeKind.SYSTEM_DOWN: True,
    }
    assert [row["title"] for row in rows if row["recovered_at"]] == ["scripted refuses our credentials"]


async def test_receivers_are_told_of_what_they_asked_for(store: Store) -> None:
    at_once = {"for": 0}
    on = await scene(
        store,
        receiver("all", **at_once),
        receiver("stuck", conditions=["NO_PROGRESS"], **at_once),
        receiver("repeated", conditions=["REPEATED_FAILURES"], **at_once),
        receiver("failed", conditions=["JOB_FAILED"], **at_once),
        receiver("critical", severities=["CRITICAL"], **at_once),
        receiver("elsewhere", systems=["another"], **at_once),
        receiver("web", sources=["web"], systems=["scripted"], **at_once),
        receiver("s3", sources=["s3"], **at_once),
        receiver("patient", **{"for": 300}),
    )
    look = on.notifier().look

    async def fresh() -> set[str]:
        before = len(await told(store))
        await look()
        return {name for name, _ in (await told(store))[before:]}

    both = [connector(), connector("b", source="s3")]
    await on.poll(both)
    await on.holds(STUCK)
    assert await fresh() == {"all", "stuck", "web"}
    await on.holds(STUCK, severity=ConditionSeverity.CRITICAL)
    assert await fresh() == {"critical"}
    await on.poll(both, [failed(1, 20, "b")])
    assert await fresh() == {"all", "failed", "s3"}
    await on.holds(ConditionCode.REPEATED_FAILURES, "b")
    assert await fresh() == {"repeated"}
    on.seconds += 300
    assert await fresh() == {"patient"}
    await on.fail()
    await on.fail()
    assert await fresh() == {"all", "critical", "web", "s3"}


async def test_weightless_conditions_are_told_to_nobody(store: Store) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    await on.poll([connector()])
    await on.holds(ConditionCode.QUEUED, severity=ConditionSeverity.INFO)
    await on.notifier().look()
    assert await notices(store) == []


async def test_a_notice_ends_with_its_connector_and_with_its_system(store: Store) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    look = on.notifier().look
    both = [connector(), connector("b")]
    await on.poll(both, [failed(1, 10)])
    await on.holds(STUCK, "b")
    await look()
    await on.poll(both[1:])
    await on.poll(both[1:])
    await look()
    said = {row["kind"]: row["recovery_message"] for row in await notices(store)}
    assert said == {NoticeKind.JOB_FAILED: "The connector has been removed.", NoticeKind.CONDITION: None}
    await register_systems(store, [Registration("another", "scripted", (), 90.0)])
    again = on.notifier()
    again._position = None
    await again.look()
    assert {row["recovery_message"] for row in await notices(store)} == {
        "The connector has been removed.",
        "Its system has been taken out of the configuration.",
    }


async def test_what_was_seen_before_a_long_pause_is_told_only_when_it_still_holds(store: Store) -> None:
    on = await scene(store)
    await on.poll([connector(), connector("b")])
    await on.holds(STUCK)
    await on.holds(STUCK, "b")
    await on.notifier().look()
    on.seconds += 3600
    look = on.notifier().look
    await look()
    assert await notices(store) == []
    await on.clears(STUCK)
    await on.poll([connector(), connector("b")])
    await look()
    assert [row["connector_id"] for row in await notices(store)] == [global_id(CONNECTOR, "scripted", "b")]


@pytest.mark.parametrize("kept", [1, 0])
async def test_what_the_log_no_longer_tells_is_told_all_the_same(store: Store, kept: int) -> None:
    on = await scene(store)
    await on.poll([connector()])
    await on.notifier().look()
    await on.poll([connector()], [failed(1, 20)])
    await on.poll([connector(), connector("b")], [failed(1, 20)])
    async with store.read() as connection:
        head = (await connection.execute(select(LOG_HEAD.c.position))).scalar_one()
    await forget(store, head - kept)  # as retention does while no gateway makes notices
    for _ in range(2):
        await on.notifier().look()
    assert await told(store) == [("pager", "RAISED")]


async def test_what_fails_already_when_a_gateway_first_looks_is_told_once(store: Store) -> None:
    on = await scene(store)
    await on.poll([connector()], [failed(1, 10)])
    for _ in range(2):
        await on.notifier().look()
    assert await told(store) == [("pager", "RAISED")]


async def test_a_canceled_job_is_no_recovery(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()], [failed(1, 10)])
    await look()
    await on.poll([connector()], [job("2", status=JobStatus.CANCELED, order_at=at(20), completed_at=at(20))])
    await look()
    assert await told(store) == [("pager", "RAISED")]


async def test_of_two_notifiers_at_once_one_tells(store: Store) -> None:
    on = await scene(store)
    await on.poll([connector()], [failed(1, 10)])
    both = on.notifier(), on.notifier()
    both[1]._chance.seed(6)
    done = await asyncio.gather(*(each.look() for each in both), return_exceptions=True)
    assert [each for each in done if each not in (True, False) and not isinstance(each, LeaseLost)] == []
    assert await told(store) == [("pager", "RAISED")]
    for each in both:
        each.forget()
        await each.look()
    await on.poll([connector()], [job("2", order_at=at(30), completed_at=at(30))])
    await asyncio.gather(*(each.look() for each in both), return_exceptions=True)
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]


async def test_a_crash_in_the_middle_of_writing_loses_nothing_and_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()])
    await look()
    await on.poll([connector()], [failed(1, 20)])

    async def crash(*arguments: Any) -> None:
        await write_notices(*arguments)
        raise KeyError("crashed before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(notifier, "write_notices", crash)
        with pytest.raises(KeyError):
            await look()
    assert (await notices(store), await told(store)) == ([], [])
    for _ in range(2):
        await on.notifier().look()  # as after a restart
    assert await told(store) == [("pager", "RAISED")]
    assert [json.loads(row["payload"])["delivery"] for row in await deliveries(store)] == [
        row["id"] for row in await deliveries(store)
    ]


async def test_what_somebody_acknowledges_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()], [failed(1, 10)])
    await look()
    await on.poll([connector()], [job("2", order_at=at(30), completed_at=at(30))])

    async def acknowledged(*arguments: Any) -> Any:
        state = await read_notice_state(*arguments)
        async with store.write() as connection:
            await connection.execute(update(NOTICES).values(acknowledged_at=on.now, acknowledged_by="ada"))
        return state

    monkeypatch.setattr(notifier, "read_notice_state", acknowledged)
    await look()
    (notice,) = await notices(store)
    assert (notice["acknowledged_by"], notice["recovered_at"]) == ("ada", on.now)


async def nobody(*_: Any) -> Any:
    raise AssertionError("there is no reason to read")


async def test_without_a_change_nothing_is_read_but_the_logs_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    on = await scene(store)
    each = on.notifier()
    await on.poll([connector()])
    await each.look()

    monkeypatch.setattr(notifier, "read_notice_state", nobody)
    on.seconds += 1000
    assert not await each.look()


async def test_a_condition_that_is_absent_for_a_moment_is_not_over(store: Store) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    await on.poll([connector()])
    await on.holds(STUCK)
    await on.notifier().look()
    for _ in range(2):  # the first judgement is lost in a crash
        await on.clears(STUCK)
        look = on.notifier().look
        await look()
        await on.poll([connector()])
        await look()
        await on.holds(STUCK)
        await look()
        await on.poll([connector()])
        await look()
    assert await told(store) == [("pager", "RAISED")]
    await on.clears(STUCK)
    await answered(on, look)
    assert await told(store) == [("pager", "RAISED"), ("pager", "RECOVERED")]


async def test_an_outage_bears_out_no_recovery(store: Store) -> None:
    on = await scene(store, receiver(conditions=["NO_PROGRESS"], **{"for": 0}))
    look = on.notifier().look
    await on.poll([connector()])
    await on.holds(STUCK)
    await look()
    await on.clears(STUCK)
    for _ in range(4):
        await look()
        await on.fail()
    await on.poll([connector()])
    await on.holds(STUCK)
    await look()
    assert await told(store) == [("pager", "RAISED")]


async def test_what_waits_for_an_answer_is_not_read_before_one_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await scene(store)
    await on.poll([connector()])
    await on.holds(STUCK)
    each = on.notifier()
    await each.look()
    on.seconds += 3600
    await each.look()
    with monkeypatch.context() as patch:
        patch.setattr(notifier, "read_notice_state", nobody)
        for _ in range(3):
            on.seconds += 1
            assert not await each.look()
    await on.poll([connector()])
    assert await each.look()


async def test_a_connector_in_error_is_one_notice_until_it_is_no_longer(store: Store) -> None:
    on = await scene(store)
    look = on.notifier().look
    await on.poll([connector()])
    for _ in range(3):
        await on.poll([connector(status=ConnectorStatus.ERROR, error_message="Credentials expired.")])
        await look()
    (notice,) = await notices(store)
    assert (notice["kind"], notice["title"]) == (NoticeKind.JOB_FAILED, "Connector a (scripted): in error")
    assert (notice["message"], notice["recovered_at"]) == ("Credentials expired.", None)
    await on.poll([connector()])
    await look()
    (notice,) = await notices(store)
    assert notice["recovery_message"] == "It is no longer in error."


async def test_a_connector_in_error_that_gives_no_reason_has_that_of_its_latest_job(sqlite_store: Store) -> None:
    on = await scene(sqlite_store)
    canceled = job("1", status=JobStatus.CANCELED, error_message="Stopped.", order_at=at(20), completed_at=at(20))
    await on.poll([connector(status=ConnectorStatus.ERROR)], [canceled])
    await on.notifier().look()
    (notice,) = await notices(sqlite_store)
    assert (notice["message"], notice["job_id"]) == ("Stopped.", None)


async def test_documents_that_failed_name_their_run_whose_end_is_no_relief(sqlite_store: Store) -> None:
    on = await scene(sqlite_store, receiver(**{"for": 0}))
    look, run = on.notifier().look, global_id(JOB, "scripted", "1")
    await on.poll([connector()], [job("1", order_at=at(20), completed_at=at(20))])
    await on.holds(ConditionCode.DOCUMENT_ERRORS, jobId=run)
    await look()
    await on.clears(ConditionCode.DOCUMENT_ERRORS)
    await answered(on, look)
    (notice,) = await notices(sqlite_store)
    assert (notice["job_id"], notice["recovery_message"]) == (run, "It is so no longer.")


@pytest.mark.parametrize("still", [True, False])
async def test_a_system_that_returns_is_asked_before_anything_is_told_of_it(store: Store, still: bool) -> None:
    on = await scene(store, receiver(**{"for": 0}))
    look = on.notifier().look
    await on.poll([connector()])
    await on.poll([connector()], [failed(1, 20)])
    await on.holds(STUCK)
    await look()
    await register_systems(store, [])
    await on.notifier().look()
    again = on.notifier()
    again._chance.seed(6)
    await register_systems(store, [Registration("scripted", "scripted", (), 90.0)])
    for _ in range(2):
        assert not await again.look()
    assert await told(store) == [("pager", "RAISED")] * 2 + [("pager", "RECOVERED")] * 2
    await on.restart()
    if not still:
        await on.clears(STUCK)
    ended = [failed(1, 20)] if still else [job("2", order_at=at(60), completed_at=at(60))]
    await on.poll([connector()], ended)
    await again.look()
    assert await told(store) == [("pager", "RAISED")] * 2 + [("pager", "RECOVERED")] * 2 + [("pager", "RAISED")] * (
        2 if still else 0
    )


async def test_a_clock_that_was_set_back_makes_no_negative_time(sqlite_store: Store) -> None:
    on = await scene(sqlite_store)
    look = on.notifier().look
    await on.poll([connector()])
    for _ in range(2):
        await on.fail()
    await look()
    on.seconds -= 3600
    await on.poll([connector()])
    await look()
    (notice,) = await notices(sqlite_store)
    assert notice["recovery_message"] == "scripted answers again, after 0 seconds."
    assert "after 0 seconds" in (await on.events())[-1]["message"]


async def test_what_was_so_before_the_first_day_is_told_to_those_who_want_it(sqlite_store: Store) -> None:
    on = await scene(sqlite_store, receiver(), receiver("calm", backlog=False))
    look = on.notifier().look
    both = [connector(), connector("b")]
    await on.poll(both, [failed(1, -700), failed(2, -500, "b")])
    await look()
    assert await told(sqlite_store) == [("pager", "RAISED"), ("pager", "RAISED"), ("calm", "RAISED")]
    await on.poll(both, [failed(3, 40)])
    await look()
    assert len(await told(sqlite_store)) == 3, "it goes on as before"
    await on.poll(both, [job("4", order_at=at(50), completed_at=at(50))])
    await look()
    await on.poll(both, [failed(5, 70)])
    await look()
    assert (await told(sqlite_store))[3:] == [("pager", "RECOVERED"), ("pager", "RAISED"), ("calm", "RAISED")]
