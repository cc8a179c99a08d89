"""The past over GraphQL: a connector in buckets of time, outages, and what is not known of either."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectory.config.settings import RetentionSettings
from connectory.engine.retention import Retention
from connectory.limits import OperationLimits
from connectory.model import ConnectorFact, ConnectorStatus, JobFact, JobStatus, JobType, Problem, SystemErrorCode
from connectory.store import Store
from resolvers.timeline import HistoryBucketRecord
from tests.api import world
from tests.api.gateway import served
from tests.api.world import Asker, SystemModel, Writer, register
from tests.facts import at, connector, job

HOUR = 3600.0
HISTORY = """query($from: DateTime, $to: DateTime, $bucket: HistoryBucketSize! = HOUR) { connectors(
    filter: {includeRemoved: true}, first: 1000) { nodes { name history(from: $from, to: $to, bucket: $bucket) {
    from to status health worstHealth docsIndexed jobsSucceeded jobsFailed jobsOther systemDownSeconds } } } }"""
OUTAGES = """query($first: Int, $after: String) { systems { name outages(first: $first, after: $after) {
    totalCount pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor }
    nodes { startedAt endedAt code message } } } }"""


def hour(n: float) -> datetime:
    return at(n * HOUR)


async def begin(store: Store, stale_after: float = 1e9) -> Writer:
    """By default a system that counts as watched, however far its polls lie apart."""
    return await world.begin(store, stale_after=stale_after)


def said(docs: int | None, **more: Any) -> ConnectorFact:
    return connector("a", **({"docs_indexed": docs, "last_success_at": at(0)} | more))


def ended(id: str, when: float, status: JobStatus = JobStatus.SUCCEEDED, **more: Any) -> JobFact:
    """A job that ended at that hour."""
    return job(id, "a", status, **({"order_at": hour(when - 0.5), "completed_at": hour(when)} | more))


async def history(store: Store, now: float, begin: float | None, end: float | None = None, **more: Any) -> Any:
    """Of the only connector, with the hours in the place of times."""
    given = {"from": None if begin is None else hour(begin).isoformat(), "to": end and hour(end).isoformat(), **more}
    (shown,) = (await Asker(store, hour(now))(HISTORY, **given))["connectors"]["nodes"]
    return shown["history"]


def column(buckets: list[Mapping[str, Any]], name: str) -> list[Any]:
    return [bucket[name] for bucket in buckets]


async def test_how_a_connector_was_hour_by_hour(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(hour(1.5), [said(10)], [ended("1", 0.5), ended("2", 1.2)])
    await writer.poll(hour(2.2), [said(10, status=ConnectorStatus.ERROR)])
    await writer.poll(hour(2.4), [said(20)])
    await writer.poll(hour(4.0), [said(30, last_finished_job_status=JobStatus.SUCCEEDED_WITH_ERRORS)])
    buckets = await history(store, 6.5, 0)
    assert [(bucket["from"], bucket["to"]) for bucket in buckets] == [
        (hour(n).isoformat(), hour(min(n + 1, 6.5)).isoformat()) for n in range(7)
    ]
    active = ["ACTIVE"] * 6
    assert column(buckets, "status") == [None, *active]
    assert column(buckets, "health") == [None, "HEALTHY", "HEALTHY", "HEALTHY", "DEGRADED", "DEGRADED", "DEGRADED"]
    assert column(buckets, "worstHealth") == [None, "HEALTHY", "FAILING", "HEALTHY", "DEGRADED", "DEGRADED", "DEGRADED"]
    assert column(buckets, "docsIndexed") == [None, 10, 20, 20, 30, 30, 30]
    assert column(buckets, "jobsSucceeded") == [1, 1, 0, 0, 0, 0, 0], "jobs are older than our acquaintance"
    assert column(buckets, "systemDownSeconds") == [None, 0, 0, 0, 0, 0, 0]


async def test_a_stretch_between_two_changes(store: Store) -> None:
    """Nothing is told within it; what was before holds, and nothing of what came later."""
    writer = await begin(store)
    await writer.poll(hour(0), [said(1)])
    await writer.poll(hour(10), [said(2, status=ConnectorStatus.PAUSED)])
    buckets = await history(store, 20, 4, 6)
    assert column(buckets, "status") == ["ACTIVE", "ACTIVE"]
    assert column(buckets, "docsIndexed") == [1, 1]
    assert column(await history(store, 20, 9, 11), "status") == ["ACTIVE", "PAUSED"]
    assert column(await history(store, 20, -3, -1), "status") == [None, None]


async def test_jobs_by_how_they_ended(store: Store) -> None:
    writer = await begin(store)
    jobs = [
        ended("1", 1.1),
        ended("2", 1.2, JobStatus.SUCCEEDED_WITH_ERRORS),
        ended("3", 1.999, JobStatus.FAILED),
        ended("4", 2.0, JobStatus.CANCELED),
        ended("5", 2.1, JobStatus.INTERRUPTED),
        ended("6", 2.2, type=JobType.ACCESS_CONTROL),
        ended("7", 9, completed_at=None, last_seen_at=hour(2.3), status=JobStatus.FAILED),
        job("8", "a", JobStatus.RUNNING, order_at=hour(1)),
        ended("9", 4.0),
    ]
    await writer.poll(hour(0.9), [said(None)])
    await writer.poll(hour(3.5), [said(None)], jobs)
    buckets = await history(store, 4.0, 1)
    names = ("jobsSucceeded", "jobsFailed", "jobsOther")
    assert [[bucket[name] for name in names] for bucket in buckets] == [[2, 1, 0], [0, 1, 2], [0, 0, 0]]


async def test_while_it_is_gone_nothing_is_known(store: Store) -> None:
    writer = await begin(store)
    other = connector("b")
    await writer.poll(hour(0), [said(1), other])
    for n in (1.1, 1.2):
        await writer.poll(hour(n), [other])
    gone = (await Asker(store, hour(5))(HISTORY, **{"from": hour(0).isoformat()}))["connectors"]["nodes"]
    await writer.poll(hour(3.5), [said(2), other])
    back = (await Asker(store, hour(5))(HISTORY, **{"from": hour(0).isoformat()}))["connectors"]["nodes"]
    statuses = [column(nodes[0]["history"], "status") for nodes in (gone, back)]
    assert statuses == [["ACTIVE", None, None, None, None], ["ACTIVE", None, None, "ACTIVE", "ACTIVE"]]
    assert column(back[0]["history"], "worstHealth")[1:3] == ["HEALTHY", None]


async def test_what_the_log_has_lost_is_told_by_what_it_still_has(store: Store) -> None:
    writer = await begin(store)
    b = connector("b", docs_indexed=7)
    for n, docs in enumerate((1, 2, 3, 4)):
        await writer.poll(hour(n), [said(docs, name=f"Connector a{n}"), b])
    await writer.poll(hour(5), [said(4, name="Connector a"), b])
    await writer.poll(hour(6), [said(4, status=ConnectorStatus.PAUSED), b])
    settings = RetentionSettings(events_days=0, events=3, jobs_days=0, jobs_per_connector=0)
    await Retention(store, settings, clock=lambda: hour(7)).sweep()
    a, other = (await Asker(store, hour(7))(HISTORY, **{"from": hour(1).isoformat()}))["connectors"]["nodes"]
    assert column(a["history"], "status") == [None, None, "ACTIVE", "ACTIVE", "ACTIVE", "PAUSED"]
    assert column(a["history"], "docsIndexed") == [None, None, 4, 4, 4, 4]
    assert column(other["history"], "status") == [None, None, *["ACTIVE"] * 4], "it has not changed ever since"
    assert column(other["history"], "docsIndexed") == [None, None, 7, 7, 7, 7]


async def test_jobs_that_retention_removed_are_not_known_to_be_none(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(hour(0), [said(1)], [ended(str(n), n + 0.6) for n in range(6)])
    settings = RetentionSettings(events_days=0, events=0, jobs_days=0, jobs_per_connector=2)
    await Retention(store, settings, clock=lambda: hour(8)).sweep()
    buckets = await history(store, 7, 0)
    assert column(buckets, "jobsSucceeded") == [None, None, None, None, 1, 1, 0]


async def test_a_long_job_that_retention_removed_is_missing_where_it_ended(store: Store) -> None:
    writer = await begin(store)
    jobs = [ended("1", 50, order_at=hour(1)), ended("2", 61), ended("3", 71)]
    await writer.poll(hour(0), [said(1)])
    await writer.poll(hour(80), [said(1)], jobs)
    assert column(await history(store, 80, 49, 52), "jobsSucceeded") == [0, 1, 0]
    settings = RetentionSettings(events_days=0, events=0, jobs_days=0, jobs_per_connector=2)
    await Retention(store, settings, clock=lambda: hour(80)).sweep()
    assert column(await history(store, 80, 49, 52), "jobsSucceeded") == [None, None, 0]


async def test_by_default_the_last_seven_days(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(hour(0), [said(1)])
    query = "{ connectors { nodes { history { from to status } } } }"
    (shown,) = (await Asker(store, hour(80))(query))["connectors"]["nodes"]
    buckets = shown["history"]
    assert len(buckets) == 7
    assert buckets[-1]["to"] == hour(80).isoformat()
    assert buckets[0]["from"] == (hour(80) - timedelta(days=7)).isoformat()
    assert column(buckets, "status") == [None, None, None, "ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE"]
    assert len(await history(store, 80, 0, 1000)) == 80, "nobody knows what will be"


@pytest.mark.parametrize(
    ("begin_", "end", "size", "part"),
    [
        (0, 17, "MINUTE", "1,020 buckets"),
        (0, 1001, "HOUR", "1,001 buckets"),
        (5, 5, "HOUR", "before 'to'"),
        (5, 4, "DAY", "before 'to'"),
        (3000, None, "DAY", "before now"),
    ],
)
async def test_stretches_that_make_no_sense(
    sqlite_store: Store, begin_: float, end: float | None, size: str, part: str
) -> None:
    writer = await begin(sqlite_store)
    await writer.poll(hour(0), [said(1)])
    given = {"from": hour(begin_).isoformat(), "to": end and hour(end).isoformat(), "bucket": size}
    assert part in await Asker(sqlite_store, hour(2000)).refused(HISTORY, **given)
    first_day = {"from": None, "to": "0001-01-03T00:00:00Z", "bucket": size}
    assert "'to'" in await Asker(sqlite_store, hour(2000)).refused(HISTORY, **first_day)


# ---- what nobody watched


async def test_what_nobody_watched_is_not_known(store: Store) -> None:
    """The gateway was off from 1.1 to 5.2: jobs that were told later are known, and nothing else."""
    writer = await begin(store, stale_after=90)
    for n in (0.1, 0.101, 1.095, 1.1):
        await writer.poll(hour(n), [said(1, status=ConnectorStatus.ERROR)])
    await writer.poll(hour(5.2), [said(2)], [ended("1", 0.5), ended("2", 3.5), ended("3", 5.1)])
    buckets = await history(store, 5.21, 0)
    assert column(buckets, "status") == ["ERROR", "ERROR", None, None, None, "ACTIVE"]
    assert column(buckets, "docsIndexed") == [1, 1, None, None, None, 2]
    assert column(buckets, "worstHealth") == ["FAILING", "FAILING", None, None, None, "HEALTHY"]
    assert column(buckets, "systemDownSeconds") == [0, 0, None, None, None, 0]
    assert column(buckets, "jobsSucceeded") == [1, 0, None, 1, None, 1]
    assert column(buckets, "jobsFailed") == [0, 0, None, 0, None, 0]


async def test_what_is_as_it_was_counts_again_from_when_it_is_seen(store: Store) -> None:
    writer = await begin(store, stale_after=90)
    await writer.poll(hour(0.1), [said(1, status=ConnectorStatus.ERROR)])
    await writer.poll(hour(3.5), [said(1, status=ConnectorStatus.ERROR)])
    await writer.poll(hour(3.52), [said(1)])
    buckets = await history(store, 3.53, 0)
    assert column(buckets, "worstHealth") == ["FAILING", None, None, "FAILING"]
    assert column(buckets, "health") == ["FAILING", None, None, "HEALTHY"]


async def test_nobody_watches_now(store: Store) -> None:
    """A gateway that has just begun and not asked yet, or whose system is another's that is gone."""
    writer = await begin(store, stale_after=90)
    await writer.poll(hour(0.1), [said(1)])
    assert column(await history(store, 3, 0), "status") == ["ACTIVE", None, None]
    assert column(await history(store, 0.1 + 104 / HOUR, 0.1 + 50 / HOUR), "status") == ["ACTIVE"], "it may be late"


async def test_a_system_that_asked_to_wait_was_watched(store: Store) -> None:
    writer = await begin(store, stale_after=90)
    wait = Problem(SystemErrorCode.RATE_LIMITED, "slowly", retry_after=4 * HOUR)
    await writer.poll(hour(0.1), [said(1)], problems=[wait])
    await writer.poll(hour(4.1), [said(1)])
    assert column(await history(store, 4.11, 0), "status") == ["ACTIVE"] * 5


async def test_seconds_down_are_those_that_somebody_saw(store: Store) -> None:
    writer = await begin(store, stale_after=90)
    await writer.poll(hour(0), [said(1)])
    await writer.fail(hour(0) + timedelta(seconds=30))
    await writer.fail(hour(0) + timedelta(seconds=60))
    seen = writer.system.state.next_poll_at
    assert seen is not None
    await writer.fail(hour(2.5))
    await writer.poll(hour(2.5) + timedelta(seconds=40), [said(1)])
    down = column(await history(store, 2.52, 0), "systemDownSeconds")
    assert down == [pytest.approx((seen - hour(0)).total_seconds() - 60), None, pytest.approx(40)]


# ---- outages


async def down(
    writer: Writer, start: float, end: float | None, code: SystemErrorCode = SystemErrorCode.TIMEOUT
) -> None:
    for moment in (start - 0.1, start):
        await writer.fail(hour(moment), code)
    if end is not None:
        await writer.poll(hour(end), [said(1)])


async def test_outages_newest_first_page_by_page(store: Store) -> None:
    alpha, beta = SystemModel("alpha", "onyx"), SystemModel("beta", "elastic")
    await register(store, alpha, beta)
    writer = Writer(store, alpha)
    await writer.poll(hour(0), [said(1)])
    for n in (1, 2, 3):
        await down(writer, n, n + 0.5)
    await writer.fail(hour(4), SystemErrorCode.AUTH_FAILED)
    await writer.fail(hour(5), SystemErrorCode.UNREACHABLE)
    ask = Asker(store, hour(6))
    first, nothing = (await ask(OUTAGES, first=3))["systems"]
    assert nothing["outages"]["nodes"] == []
    page = first["outages"]
    assert page["totalCount"] == 4
    assert [(node["startedAt"], node["endedAt"], node["code"]) for node in page["nodes"]] == [
        (hour(4).isoformat(), None, "AUTH_FAILED"),
        (hour(3).isoformat(), hour(3.5).isoformat(), "TIMEOUT"),
        (hour(2).isoformat(), hour(2.5).isoformat(), "TIMEOUT"),
    ]
    assert page["nodes"][0]["message"] == "it said AUTH_FAILED", "it is one outage, and it keeps what it began with"
    assert page["pageInfo"]["hasNextPage"]
    more = """query($after: String, $name: String!) {
        system(name: $name) { outages(after: $after) { nodes { startedAt } } } }"""
    cursor = page["pageInfo"]["endCursor"]
    (last,) = (await ask(more, name="alpha", after=cursor))["system"]["outages"]["nodes"]
    assert last["startedAt"] == hour(1).isoformat()
    assert "another system" in await ask.refused(more, name="beta", after=cursor)
    assert "not a cursor" in await ask.refused(more, name="alpha", after="nonsense")


async def test_seconds_that_a_system_was_down(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(hour(0), [said(1)])
    await down(writer, 1.5, 2.25)
    await down(writer, 2.75, None)
    buckets = await history(store, 3.5, 0)
    assert column(buckets, "systemDownSeconds") == pytest.approx([0, 1800, 900 + 900, 1800])
    assert column(buckets, "status") == ["ACTIVE"] * 4


# ---- cost


MINUTES = """query($from: DateTime, $to: DateTime, $first: Int!) { connectors(first: $first) { nodes {
    history(from: $from, to: $to, bucket: MINUTE) { from status worstHealth jobsSucceeded systemDownSeconds } } } }"""


async def many_minutes(store: Store) -> Asker:
    writer = await begin(store)
    await writer.poll(hour(0.5), [connector(f"c{n}") for n in range(30)])
    return Asker(store, hour(20))


async def test_all_histories_of_an_operation_have_a_limit_together(sqlite_store: Store) -> None:
    ask = await many_minutes(sqlite_store)
    ask.limits = OperationLimits(values=20_000)  # a bucket is a row with five fields
    given = {"from": hour(1).isoformat(), "to": hour(7).isoformat()}
    assert "at most 20,000" in await ask.refused(MINUTES, first=4, **given)
    found = await ask(MINUTES, first=3, **given)
    assert [len(node["history"]) for node in found["connectors"]["nodes"]] == [360] * 3


async def test_others_go_on_while_histories_are_made(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in buckets between two turns of the loop, as seconds would be of the machine."""
    ask, made, held = await many_minutes(sqlite_store), 0, [0]

    def counted(*given: Any) -> HistoryBucketRecord:
        nonlocal made
        made += 1
        return HistoryBucketRecord(*given)

    async def others() -> None:
        while True:
            before = made
            await asyncio.sleep(0)
            held.append(made - before)

    monkeypatch.setattr("resolvers.timeline.HistoryBucketRecord", counted)
    task = asyncio.create_task(others())
    await ask(MINUTES, first=10, **{"from": hour(1).isoformat(), "to": hour(11).isoformat()})
    task.cancel()
    assert made == 6_000
    assert max(held) <= 100


EVERYTHING = """query($from: DateTime) { systems {
    outages { totalCount nodes { code } } connectors(first: 1000) { nodes {
    history(from: $from, bucket: HOUR) { status jobsSucceeded systemDownSeconds }
    jobs(first: 3) { nodes { earlierStretches { processed } } } } } } }"""


async def test_history_of_many_costs_as_many_statements_as_of_one(store: Store) -> None:
    ask = Asker(store, hour(20))
    counts = []
    for many in (1, 60):
        systems = [SystemModel(f"s{many}-{n}", "onyx") for n in range(min(many, 3))]
        await register(store, *systems)
        for system in systems:
            names = [f"c{n}" for n in range(many)]
            await Writer(store, system).poll(hour(1), [connector(n) for n in names], [job(f"{n}-1", n) for n in names])
        found = await ask(EVERYTHING, **{"from": hour(0).isoformat()})
        assert {len(node["history"]) for system in found["systems"] for node in system["connectors"]["nodes"]} == {20}
        counts.append(ask.statements)
    assert counts == [12, 12]


async def test_over_http(store_url: str) -> None:
    async with served(store_url) as client:
        query = "{ systems { outages { totalCount } } connectors { nodes { history { from } } } }"
        status, body = await client.ask(query)
    assert (status, body["data"]) == (200, {"systems": [], "connectors": {"nodes": []}})
