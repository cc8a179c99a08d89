"""Retention: what goes, what stays, that it does not come back, that nobody waits, and that a store stays small."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from connectory.config.settings import RetentionSettings
from connectory.engine import Engine
from connectory.engine.retention import LEAST, MOST, BatchSizes, Retention
from connectory.model import (
    ConditionSeverity,
    ConnectorStatus,
    DeliveryPhase,
    EventKind,
    JobErrorFact,
    JobFact,
    JobStatus,
    JobType,
    NoticeKind,
    Observation,
    SystemErrorCode,
)
from connectory.store import Store
from connectory.store.leases.rows import RETENTION_LEASE
from connectory.store.tables import (
    CONNECTORS,
    DELIVERIES,
    EVENTS,
    JOB_ERRORS,
    JOB_FLOORS,
    JOB_SEGMENTS,
    JOBS,
    LOG_HEAD,
    NOTICES,
    OUTAGES,
    UNWATCHED,
)
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from tests.api.world import Asker
from tests.engine.stage import Stage, rows
from tests.facts import T0, Scripted, at, configured, connector, job
from tests.wait import until

DAY = 86_400.0
NOTHING = dict.fromkeys(RetentionSettings.model_fields, 0)


def retention(store: Store, now: datetime = T0, **limits: float) -> Retention:
    """With these limits alone."""
    return Retention(store, RetentionSettings.model_validate(NOTHING | limits), clock=lambda: now)


def ended(id: str, day: float, of: str | None = "a", status: JobStatus = JobStatus.SUCCEEDED, **fields: Any) -> JobFact:
    """A job of an hour that began on that day, counted from T0."""
    begun = at(day * DAY)
    usual = {"order_at": begun, "started_at": begun, "completed_at": begun + timedelta(hours=1)}
    return job(id, of, status, **(usual | fields))


async def fill_log(store: Store, count: int, moment: datetime) -> None:
    """So many more rows of a log, as a system would write them that moves all the time."""
    async with store.write() as connection:
        head = (await connection.execute(select(LOG_HEAD.c.position))).scalar_one()
        row = {"at": moment, "kind": EventKind.JOB_PROGRESSED, "system_id": global_id("System", "scripted")}
        row |= {"connector_id": global_id(CONNECTOR, "scripted", "a"), "job_id": global_id(JOB, "scripted", "j")}
        row |= {"status": 1, "previous_status": 1, "processed": 7, "changed_fields": "counts,progress"}
        for start in range(0, count, 10_000):
            some = range(head + 1 + start, head + 1 + min(count, start + 10_000))
            await connection.execute(insert(EVENTS), [{**row, "position": position} for position in some])
        await connection.execute(update(LOG_HEAD).values(position=head + count))


async def held_jobs(store: Store) -> set[str]:
    return {row["external_id"] for row in await rows(store, JOBS)}


async def positions(store: Store) -> list[int]:
    return [row["position"] for row in await rows(store, EVENTS)]


# ---- the log


async def test_the_log_keeps_so_many_rows_and_those_of_so_many_days(store: Store) -> None:
    await Stage.open(store)
    await fill_log(store, 120, at(0))
    await fill_log(store, 80, at(2 * DAY))
    await retention(store).sweep()
    assert len(await positions(store)) == 200, "no limit"
    assert await retention(store, events=150).sweep() == {"events": 50}
    assert await positions(store) == list(range(51, 201))
    assert await retention(store, at(3 * DAY), events_days=2, events=150).sweep() == {"events": 70}
    assert await positions(store) == list(range(121, 201))
    assert await retention(store, at(3 * DAY), events_days=2, events=150).sweep() == {}
    assert await retention(store, at(30 * DAY), events_days=1).sweep() == {"events": 80}
    assert await positions(store) == []
    await fill_log(store, 1, at(30 * DAY))
    assert await positions(store) == [201], "an empty log goes on where it was"


async def test_who_read_up_to_what_is_gone_is_told_of_the_gap(store: Store) -> None:
    stage = await Stage.open(store)
    await stage.poll([connector("a")])
    ask = Asker(store)
    cursor = (await ask("{ eventCursor }"))["eventCursor"]
    await fill_log(store, 100, at(0))
    await retention(store, events=10).sweep()
    query = "query($c: String) { events(after: $c, first: 100) { nodes { kind cursor ... on GapEvent { to } } } }"
    gap, *left = (await ask(query, c=cursor))["events"]["nodes"]
    assert (gap["kind"], gap["to"], len(left)) == ("GAP", gap["cursor"], 10)
    assert {node["kind"] for node in (await ask(query, c=gap["to"]))["events"]["nodes"]} == {"JOB_PROGRESSED"}


# ---- jobs


async def test_old_jobs_go_with_all_that_hangs_on_them(store: Store) -> None:
    stage = await Stage.open(store)
    errors = tuple(JobErrorFact(f"document {n}") for n in range(130))
    old = [ended("1", 0, errors=errors), ended("2", 1), ended("3", 30, errors=errors[:1])]
    await stage.poll([connector("a")], [*old, ended("4", 40)])
    async with store.write() as connection:
        stretch = {"job_id": global_id(JOB, "scripted", "1"), "number": 1, "counts": "{}"}
        await connection.execute(insert(JOB_SEGMENTS), [stretch])
    removed = await retention(store, at(45 * DAY), jobs_days=20).sweep()
    assert removed == {"job_errors": 130, "job_stretches": 1, "jobs": 2}
    assert await held_jobs(store) == {"3", "4"}
    assert [row["job_id"] for row in await rows(store, JOB_ERRORS)] == [global_id(JOB, "scripted", "3")]
    assert await rows(store, JOB_SEGMENTS) == []


async def test_what_a_connector_is_judged_by_stays_however_old_it_is(store: Store) -> None:
    stage = await Stage.open(store)
    jobs = [
        ended("older success", 0, docs_in_index=4),
        ended("counted", 1, docs_in_index=5),
        ended("success", 2, docs_in_index=None),
        ended("access", 2.5, type=JobType.ACCESS_CONTROL),
        *(ended(f"failure {n}", 3 + n, status=JobStatus.FAILED) for n in range(5)),
        job("open", "a", JobStatus.RUNNING, order_at=at(8 * DAY), started_at=at(8 * DAY)),
        ended("orphan", 0, of=None),
        ended("only", 0, of="b"),
    ]
    await stage.poll([connector("a"), connector("b")], jobs)
    before = await stage.connector()
    await retention(store, at(1000 * DAY), jobs_days=1, jobs_per_connector=1).sweep()
    assert await held_jobs(store) == {"counted", "success", "failure 4", "open", "only"}
    moved = jobs[-3]
    await stage.poll([connector("a"), connector("b")], [job("open", "a", moved.status, order_at=moved.order_at)])
    after = await stage.connector()
    for field in ("docs_indexed", "last_success_at", "last_sync_at", "last_finished_job_status", "health"):
        assert after[field] == before[field] is not None, field


async def test_a_connector_keeps_its_newest_jobs(store: Store) -> None:
    stage = await Stage.open(store)
    many = [ended(f"{n:03}", n / 24) for n in range(150)]
    await stage.poll([connector("a"), connector("b")], [*many, *(ended(f"b{n}", n / 24, of="b") for n in range(20))])
    assert await retention(store, jobs_per_connector=20).sweep() == {"jobs": 130}
    assert await held_jobs(store) == {f"{n:03}" for n in range(130, 150)} | {f"b{n}" for n in range(20)}
    assert await retention(store, jobs_per_connector=20).sweep() == {}


async def test_what_was_removed_and_is_still_told_does_not_come_back(store: Store) -> None:
    """An upstream serves the last hundred jobs with each poll of a connector that changed, and we keep ten."""
    stage = await Stage.open(store)
    errors = (JobErrorFact("a document"),)
    served = [ended(f"{n:03}", n / 24, errors=errors) for n in range(100)]
    await stage.poll([connector("a")], served)
    await retention(store, jobs_per_connector=10).sweep()
    position = (await positions(store))[-1]
    for n in range(100, 103):
        served = [*served[1:], ended(f"{n:03}", n / 24)]
        await stage.poll([connector("a")], served)
        await stage.restart()
    assert await held_jobs(store) == {f"{n:03}" for n in range(90, 103)}
    assert len(await rows(store, JOB_ERRORS)) == 10
    created = [event for event in await stage.events(position) if event["kind"] is EventKind.JOB_CREATED]
    assert len(created) == 3
    late = job("late", "a", JobStatus.RUNNING, order_at=at(0))
    await stage.poll([connector("a")], [late])
    assert "late" in await held_jobs(store), "what runs is shown, wherever it stands"


async def test_more_jobs_than_are_read_at_once_go_whichever_of_them_have_to_stay(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that stay are not read again and again: the next ones are those after them, in the same moment too."""
    monkeypatch.setattr("connectory.store.retention.removal._CHUNK", 1)
    stage = await Stage.open(store)
    only = [ended(name, -1, name) for name in "ab"]
    older = [ended(name, -1, name) for name in "cd"]
    newer = [ended(f"{name}-new", 0, name) for name in "cd"]
    await stage.poll([connector(name) for name in "abcd"], [*only, *older, *newer])
    async with asyncio.timeout(20):
        assert await retention(store, at(30 * DAY), jobs_days=5).sweep() == {"jobs": len(older)}
    assert await held_jobs(store) == {fact.external_id for fact in (*only, *newer)}


async def test_connectors_that_were_removed_long_ago_go_with_their_jobs(store: Store) -> None:
    stage = await Stage.open(store)
    still_told = connector("c", is_removed=True)
    jobs = [ended("1", 0), ended("2", 0, of="b"), ended("3", 0.1, of="b"), ended("4", 0, of="c")]
    await stage.poll([connector("a"), connector("b"), still_told], jobs)
    for _ in range(2):
        await stage.poll([connector("a"), still_told])
    await retention(store, stage.now + timedelta(days=9), jobs_days=10, jobs_per_connector=1).sweep()
    assert len(await rows(store, CONNECTORS)) == 3
    assert len(await rows(store, JOB_FLOORS)) == 1
    await retention(store, stage.now + timedelta(days=11), jobs_days=10).sweep()
    assert {row["external_id"] for row in await rows(store, CONNECTORS)} == {"a", "c"}
    assert await held_jobs(store) == {"1", "4"}
    assert await rows(store, JOB_FLOORS) == []
    await stage.poll([connector("a"), connector("b"), still_told])
    assert (await stage.connector("b"))["removed_at"] is None, "it may come back as one that was never there"


async def add_intervals(store: Store, system: str, *days: tuple[float, float | None]) -> None:
    """Outages of a system, and times when nobody watched it, from day to day."""
    async with store.write() as connection:
        for begin, end in days:
            values = {"system_id": system, "started_at": at(begin * DAY), "ended_at": end and at(end * DAY)}
            await connection.execute(insert(OUTAGES).values(**values, code=SystemErrorCode.TIMEOUT, message=""))
            if end is not None:
                await connection.execute(insert(UNWATCHED).values(**values))


async def held_intervals(store: Store, table: Any) -> list[tuple[str, datetime]]:
    return [(row["system_id"], row["started_at"]) for row in await rows(store, table)]


async def test_outages_are_kept_as_long_as_jobs(store: Store) -> None:
    await Stage.open(store)
    await add_intervals(store, "s", (0, 1), (1, 5), (6, None))
    await retention(store, at(400 * DAY + 2 * DAY), jobs_days=400).sweep()
    assert await held_intervals(store, OUTAGES) == [("s", at(DAY)), ("s", at(6 * DAY))]
    assert await held_intervals(store, UNWATCHED) == [("s", at(DAY))]


async def test_of_outages_the_newest_so_many_of_each_system_are_kept(store: Store) -> None:
    await Stage.open(store)
    await add_intervals(store, "often", *((n, n + 0.5) for n in range(130)), (130, None))
    await add_intervals(store, "rarely", (0, 1))
    removed = {"outages": 128, "unwatched": 128}
    assert await retention(store, outages_per_system=2).sweep() == removed
    lasting = [("often", at(n * DAY)) for n in (128, 129)]
    assert await held_intervals(store, OUTAGES) == [*lasting, ("often", at(130 * DAY)), ("rarely", at(0))]
    assert await held_intervals(store, UNWATCHED) == [*lasting, ("rarely", at(0))]
    assert await retention(store, outages_per_system=2).sweep() == {}


async def add_notice(store: Store, name: str, day: float, end: float | None, *, is_sent: bool = True) -> None:
    async with store.write() as connection:
        fields = {"title": "", "message": "", "since": at(day * DAY), "seen_at": at(day * DAY)}
        await connection.execute(
            insert(NOTICES).values(
                id=name, key=name, kind=NoticeKind.SYSTEM_DOWN, severity=ConditionSeverity.CRITICAL, system_id="s",
                raised_at=at(day * DAY), recovered_at=end and at(end * DAY), **fields,
            )
        )  # fmt: skip
        await connection.execute(
            insert(DELIVERIES).values(
                id=f"of {name}", notice_id=name, receiver="r", phase=DeliveryPhase.RAISED, sequence=1, payload="{}",
                created_at=at(0), attempts=1, next_attempt_at=at(0), delivered_at=at(0) if is_sent else None,
            )
        )  # fmt: skip


async def held_notices(store: Store) -> set[str]:
    held = {row["id"] for row in await rows(store, NOTICES)}
    assert {row["notice_id"] for row in await rows(store, DELIVERIES)} == held
    return held


async def test_notices_that_are_over_are_kept_as_long_as_jobs(store: Store) -> None:
    await Stage.open(store)
    await add_notice(store, "old", 0, 1)
    await add_notice(store, "recent", 1, 5)
    await add_notice(store, "open", 0, None)
    await retention(store, at(400 * DAY + 2 * DAY), jobs_days=400).sweep()
    assert await held_notices(store) == {"recent", "open"}


async def test_of_notices_that_are_over_the_newest_so_many_are_kept(store: Store) -> None:
    await Stage.open(store)
    await add_notice(store, "open", 0, None)
    await add_notice(store, "waits", 0, 1, is_sent=False)
    for n in range(10):
        await add_notice(store, f"{n}", n, n + 1)
    assert await retention(store, notices=4).sweep() == {"notices": 7}
    assert await held_notices(store) == {"open", "waits", "7", "8", "9"}
    assert await retention(store, notices=4).sweep() == {}


# ---- an upstream that forgets


class Forgetful(Scripted):
    """Runs its one connector three times a day and serves the last ten runs. Every poll comes eight hours later."""

    def __init__(self) -> None:
        super().__init__()
        self.hours = 0.0
        self.says = self._last_ten

    def now(self) -> datetime:
        return at(self.hours * 3600)

    def _last_ten(self, known: object) -> Observation:
        newest = min(self.polls, 90)
        self.hours = 8.0 * newest
        runs = [ended(str(n), (n - 1) / 3, docs_in_index=100 * n) for n in range(max(1, newest - 9), newest + 1)]
        return Observation(connectors=[connector("a")], jobs=runs)


async def test_an_upstream_that_forgets_all_but_ten_runs_still_shows_last_month(store: Store) -> None:
    source = Forgetful()
    engine = Engine(store, [configured(source)], retention=RetentionSettings(), clock=source.now)
    await engine.start()
    try:

        async def a_month() -> bool:
            return source.polls > 90

        await until(a_month, within=60)
    finally:
        await engine.stop()
    ask = Asker(store, at(30 * DAY))
    query = """query($from: DateTime) { connectors { nodes { jobs { totalCount }
        history(from: $from) { status health docsIndexed jobsSucceeded jobsFailed } } } }"""
    (shown,) = (await ask(query, **{"from": at(0).isoformat()}))["connectors"]["nodes"]
    assert shown["jobs"]["totalCount"] == 90
    assert len(shown["history"]) == 30
    assert {bucket["jobsSucceeded"] for bucket in shown["history"]} == {3}
    documents = [bucket["docsIndexed"] for bucket in shown["history"]]
    assert documents == sorted(documents)
    assert documents[-1] > 8_000


# ---- nobody waits


def test_a_transaction_removes_as_many_rows_as_fit_into_a_few_milliseconds() -> None:
    for seconds_a_row in (1e-6, 1e-5, 1e-4, 3e-4):
        batch_sizes, held = BatchSizes(), []
        for _ in range(40):
            taken = batch_sizes("jobs")
            held.append(taken * seconds_a_row)
            batch_sizes.learn("jobs", taken, held[-1])
        assert max(held) < 0.02, seconds_a_row
        assert held[-1] == pytest.approx(min(0.006, MOST * seconds_a_row), rel=0.1)
    batch_sizes.learn("jobs", 100, 5.0)
    assert (batch_sizes("jobs"), batch_sizes("events")) == (LEAST, 50), (
        "a slow one counts at once, and for its table alone"
    )


async def polls_while_rows_are_removed(store: Store, count: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Polls go on and nobody waits long while so many rows of the log are removed; the figures, in a line."""
    stage = await Stage.open(store)
    await fill_log(store, count, at(0))
    sweeper = retention(store, events=100)
    portions, held = [], []
    learn = sweeper.batch_sizes.learn

    def listen(table: str, rows: int, seconds: float) -> None:
        portions.append(rows)
        held.append(seconds)
        learn(table, rows, seconds)

    monkeypatch.setattr(sweeper.batch_sizes, "learn", listen)
    waits = []
    task = asyncio.create_task(sweeper.sweep())
    while not task.done():
        begun = perf_counter()
        async with store.write():
            waits.append(perf_counter() - begun)
        status = (ConnectorStatus.ACTIVE, ConnectorStatus.PAUSED)[len(waits) % 2]
        await stage.poll([connector("a", status=status)])
        await asyncio.sleep(0.005)
    assert (await task)["events"] >= count - 100
    assert max(portions) <= 1_000, "whoever waits, waits for no more than that"
    return f"{len(portions)} portions, held: {_summary(held)}; {len(waits)} polls, waited: {_summary(waits)}"


async def test_polls_go_on_while_rows_are_removed(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten transactions and more; the promise in seconds is tests/proofs/test_retention.py's."""
    summary = await polls_while_rows_are_removed(sqlite_store, 10_000, monkeypatch)
    portions, polls = (int(number) for number in re.findall(r"(\d+) (?:portions|polls)", summary))
    assert portions >= 10, summary
    assert polls >= 3, summary


def _summary(seconds: Sequence[float]) -> str:
    ranked = sorted(seconds)
    return f"median {1000 * ranked[len(ranked) // 2]:.1f} ms, longest {1000 * ranked[-1]:.1f} ms"


# ---- a store at its limit


async def _size(store: Store) -> int:
    """Pages of the file; on PostgreSQL rows, as its freed space is reused when its own vacuum has been there."""
    async with store.read() as connection:
        if store.is_sqlite:
            return int((await connection.execute(text("PRAGMA page_count"))).scalar_one())
        counts = [select(func.count()).select_from(table) for table in (EVENTS, JOBS, JOB_ERRORS)]
        return sum([(await connection.execute(count)).scalar_one() for count in counts])


async def test_a_store_at_its_limit_stays_at_its_size(store: Store) -> None:
    stage = await Stage.open(store)
    sweeper = retention(store, events=800, jobs_per_connector=20)
    sizes = []
    for cycle in range(12):
        await fill_log(store, 800, at(cycle))
        errors = (JobErrorFact("x" * 200),) * 5
        runs = [ended(f"{cycle:03}-{n}", cycle + n / 24, errors=errors) for n in range(20)]
        await stage.poll([connector("a")], runs)
        await sweeper.sweep()
        sizes.append(await _size(store))
    assert len(await rows(store, EVENTS)) == 800
    assert len(await rows(store, JOBS)) == 20
    assert max(sizes[4:]) <= 1.02 * max(sizes[:4]), sizes


# ---- the task


async def test_one_of_two_gateways_sweeps(postgres_url: str) -> None:
    first, second = Store(postgres_url), Store(postgres_url)
    await first.open()
    await first.upgrade()
    await fill_log(first, 100, at(0))
    settings = RetentionSettings.model_validate(NOTHING | {"events": 10})
    engine = Engine(first, [], retention=settings)
    try:
        await engine.start()

        async def swept() -> bool:
            return len(await positions(first)) == 10

        await until(swept)
        assert await second.leases.hold(RETENTION_LEASE) is None
        await engine.stop()
        await first.close()
        assert await second.leases.hold(RETENTION_LEASE) is not None
    finally:
        await engine.stop()
        await first.close()
        await second.close()


async def test_a_store_that_fails_does_not_end_the_task(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("connectory.engine.retention.INTERVAL", 0.01)
    await fill_log(sqlite_store, 100, at(0))
    sweeper, failures = retention(sqlite_store, events=10), []
    write = sqlite_store.write

    def fail() -> Any:
        failures.append(1)
        if len(failures) < 4:
            raise OSError("the disk is full")
        return write()

    monkeypatch.setattr(sqlite_store, "write", fail)
    task = asyncio.create_task(sweeper.run())

    async def swept() -> bool:
        return len(await positions(sqlite_store)) == 10

    await until(swept)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert [record.message for record in caplog.records if "the disk is full" in record.message] == [
        "what is too old cannot be removed: the disk is full"
    ]
