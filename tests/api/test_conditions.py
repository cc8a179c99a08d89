"""Each condition by the example that the documentation shows for it; and the settings behind them."""

import json
import math
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from connectory.commands.gateway import configured_systems
from connectory.config.loading import ConfigError, build
from connectory.config.settings import ConditionsSettings
from connectory.engine.judging.thresholds import Thresholds
from connectory.model import ConditionCode, ConnectorMode, CountsFact, JobFact, JobStatus, JobType
from connectory.store import Store
from tests.api.world import Asker, begin
from tests.engine.stage import Stage
from tests.facts import at, connector, job
from tests.notices.scene import Scene
from tests.paths import ROOT

DOCUMENT = (ROOT / "docs" / "conditions.md").read_text()
EXAMPLES = dict(re.findall(r"^### (\w+)\n.*?```graphql\n(.*?)```", DOCUMENT, re.S | re.M))
EVIDENCE = re.findall(r"^\| (\w+) \| `(\w+)` \|", DOCUMENT, re.M)
ELASTIC = {"one_job_at_a_time": "connector", "tells_workers": True}


def running(processed: int | None = 5, **said: Any) -> JobFact:
    return job("1", "a", JobStatus.RUNNING, processed=processed, order_at=at(1), started_at=at(1), **said)


def waiting() -> JobFact:
    return job("2", "a", JobStatus.PENDING, order_at=at(2), created_at=at(2))


def ended(start: float, status: JobStatus = JobStatus.SUCCEEDED, **said: Any) -> JobFact:
    return job(f"at{start}", "a", status, order_at=at(start), started_at=at(start), completed_at=at(start + 50), **said)


#: What a store is told: a state in which it does not hold, then one in which it does, then one that ends it; each as
#: the connector's fields, the jobs, and the seconds that have passed.
State = tuple[dict[str, Any], list[JobFact], float]
STREAM = {"mode": ConnectorMode.STREAMING, "last_success_at": at(0)}
STREAMING = running(10, type=JobType.STREAM, counts=CountsFact(total=10))
RHYTHM = [ended(-500.0 * n - 100) for n in range(6)]
JUDGED: dict[str, tuple[State, State, State]] = {
    "QUEUED": (
        ({"worker_seen_at": at(0)}, [waiting()], 0),
        ({"worker_seen_at": at(200)}, [waiting()], 200),
        ({"worker_seen_at": at(200)}, [job("2", "a", JobStatus.RUNNING, order_at=at(2))], 0),
    ),
    "QUEUED_BEHIND": (
        ({"worker_seen_at": at(0)}, [running(), waiting()], 0),
        ({"worker_seen_at": at(200)}, [running(), waiting()], 200),
        ({"worker_seen_at": at(200)}, [job("1", "a", order_at=at(1), completed_at=at(220)), waiting()], 0),
    ),
    "NO_PROGRESS": (({}, [running()], 0), ({}, [running()], 1000), ({}, [running(6)], 0)),
    "HEARTBEAT_LOST": (
        ({}, [running(last_seen_at=at(10))], 0),
        ({}, [running(last_seen_at=at(10), worker_hostname="host-1")], 700),
        ({}, [running(last_seen_at=at(700))], 0),
    ),
    "NO_WORKER": (
        ({"worker_seen_at": at(0)}, [waiting()], 0),
        ({"worker_seen_at": at(0)}, [waiting()], 800),
        ({"worker_seen_at": at(820)}, [waiting()], 0),
    ),
    "REPEATED_FAILURES": (
        ({}, [ended(-900, JobStatus.FAILED)], 0),
        ({}, [ended(-800, JobStatus.FAILED, error_message="Access denied")], 0),
        ({}, [ended(-700)], 0),
    ),
    "DOCUMENT_ERRORS": (
        ({}, [ended(-900)], 0),
        ({}, [ended(-800, JobStatus.SUCCEEDED_WITH_ERRORS, counts=CountsFact(failed=3))], 0),
        ({}, [ended(-700)], 0),
    ),
    "PARSE_ERRORS": (
        (STREAM | {"parse_errors": 3}, [STREAMING], 0),
        (STREAM | {"parse_errors": 5}, [STREAMING], 0),
        (STREAM | {"parse_errors": 5}, [STREAMING], 400),
    ),
    "TRANSPORT_ERRORS": (
        (STREAM | {"transport_errors": 3}, [STREAMING], 0),
        (STREAM | {"transport_errors": 4}, [STREAMING], 0),
        (STREAM | {"transport_errors": 4}, [STREAMING], 400),
    ),
    "BLOCKS_CHECKPOINT": (
        (STREAM | {"blocks_checkpoint": True}, [STREAMING], 0),
        (STREAM | {"blocks_checkpoint": True}, [STREAMING], 700),
        (STREAM, [STREAMING], 0),
    ),
    "OVERDUE": (({}, RHYTHM, 0), ({}, [], 2000), ({}, [ended(2000)], 0)),
}


def found(answer: Any, code: str) -> list[dict[str, Any]]:
    """The conditions of that code, wherever they stand."""
    if isinstance(answer, list):
        return [each for item in answer for each in found(item, code)]
    if not isinstance(answer, dict):
        return []
    own = [answer] if answer.get("code") == code and "message" in answer else []
    return own + [each for item in answer.values() for each in found(item, code)]


async def judged(store: Store, code: str) -> AsyncIterator[Asker]:
    stage = await Stage.open(store)
    for said, jobs, seconds in JUDGED[code]:
        stage.seconds += seconds
        await stage.poll([connector(**said)], jobs)
        await stage.judge(kind=ELASTIC)
        yield Asker(store, stage.now)


async def stale(store: Store) -> AsyncIterator[Asker]:
    writer = await begin(store)
    await writer.poll(at(0), [connector()])
    yield Asker(store, at(90))
    yield Asker(store, at(91))
    await writer.poll(at(92), [connector()])
    yield Asker(store, at(92))


async def down(store: Store) -> AsyncIterator[Asker]:
    writer = await begin(store)
    await writer.poll(at(0), [connector()])
    await writer.fail(at(5))
    yield Asker(store, at(6))
    await writer.fail(at(10))
    yield Asker(store, at(11))
    await writer.poll(at(12), [connector()])
    yield Asker(store, at(12))


STORIES: dict[str, Callable[[Store], AsyncIterator[Asker]]] = {
    "STALE": stale,
    "SYSTEM_DOWN": down,
    **{code: lambda store, code=code: judged(store, code) for code in JUDGED},  # type: ignore[misc]
}


def test_each_condition_has_an_example() -> None:
    assert set(EXAMPLES) == set(STORIES) == {code.name for code in ConditionCode}


@pytest.mark.parametrize("code", EXAMPLES)
async def test_the_example_shows_it_while_it_holds(store: Store, code: str) -> None:
    answers = [await ask(EXAMPLES[code]) async for ask in STORIES[code](store)]
    before, during, after = (found(answer, code) for answer in answers)
    assert (before, after) == ([], [])
    (shown,) = during
    assert shown["message"].endswith("." if code != "SYSTEM_DOWN" else "TIMEOUT")
    assert set(shown["evidence"]) == {key for of, key in EVIDENCE if of == code}


async def ids(ask: Asker, filter: dict[str, Any]) -> tuple[set[str], set[str]]:
    """External ids of the connectors and of the jobs that a filter by conditions lets through."""
    query = """query($c: ConnectorFilter, $j: JobFilter) { connectors(filter: $c) { nodes { externalId } }
        jobs(filter: $j) { nodes { externalId } } }"""
    answer = await ask(query, c=filter, j=filter)
    connectors, jobs = ({node["externalId"] for node in answer[of]["nodes"]} for of in ("connectors", "jobs"))
    return connectors, jobs


async def test_whose_a_condition_is(store: Store) -> None:
    stage = await Stage.open(store)
    for _ in range(2):
        await stage.poll([connector(), connector("b")], [running(), job("9", "b", JobStatus.FAILED, order_at=at(9))])
        stage.seconds += 1000
    await stage.poll([connector(), connector("b")], [running(), job("8", "b", JobStatus.FAILED, order_at=at(8))])
    await stage.judge()
    ask = Asker(store, stage.now)
    shown = await ask(
        "{ connectors { nodes { externalId conditions { code jobId } latestJob { id conditions { code } } } } }"
    )
    a, b = shown["connectors"]["nodes"]
    assert a["conditions"] == [{"code": "NO_PROGRESS", "jobId": a["latestJob"]["id"]}]
    assert a["latestJob"]["conditions"] == [{"code": "NO_PROGRESS"}]
    assert b["conditions"] == [{"code": "REPEATED_FAILURES", "jobId": None}]
    assert b["latestJob"]["conditions"] == []
    assert await ids(ask, {"conditions": ["NO_PROGRESS"]}) == ({"a"}, {"1"})
    assert await ids(ask, {"conditions": ["REPEATED_FAILURES"]}) == ({"b"}, set())
    assert await ids(ask, {"conditions": ["NO_PROGRESS", "REPEATED_FAILURES"]}) == ({"a", "b"}, {"1"})
    assert await ids(ask, {"conditions": ["QUEUED"]}) == (set(), set())
    assert ask.statements == 3


async def test_an_estimate_from_past_runs(store: Store) -> None:
    stage = await Stage.open(store)
    past = [ended(-1000.0 * n, processed=100) for n in range(1, 5)]
    await stage.poll([connector()], [*past, running(20)])
    await stage.judge()
    await stage.poll([connector()], [running(50)])
    query = "{ jobs(first: 1) { nodes { progress { percent ratePerSecond etaSeconds etaBasis pastRuns } } } }"
    for later, seconds in ((0, 25.0), (10, 15.0), (25, None)):
        answer = await Asker(store, at(stage.seconds + later))(query)
        assert answer["jobs"]["nodes"][0]["progress"] == {
            "percent": None,
            "ratePerSecond": 2.0,
            "etaSeconds": seconds,
            "etaBasis": "PAST_RUNS" if seconds else "NONE",
            "pastRuns": 4,
        }


@pytest.mark.parametrize("how", ["stale", "down"])
async def test_what_nobody_sees_has_no_estimate(store: Store, how: str) -> None:
    stage = await Scene.open(store)
    assert isinstance(stage, Scene)
    for processed in (20, 50):
        await stage.poll([connector()], [running(processed, total=100_000)])
    query = "{ jobs(first: 1) { nodes { progress { ratePerSecond etaSeconds etaBasis } } } }"

    async def shown() -> Any:
        return (await Asker(store, stage.now)(query))["jobs"]["nodes"][0]["progress"]

    stage.seconds += 15
    assert await shown() == {"ratePerSecond": 2.0, "etaSeconds": 49_960.0, "etaBasis": "TOTAL_KNOWN"}
    if how == "down":
        await stage.fail()
        await stage.fail()
    else:
        stage.seconds += 76
    assert await shown() == {"ratePerSecond": 2.0, "etaSeconds": None, "etaBasis": "NONE"}


# ---- settings


def test_the_settings_are_the_thresholds() -> None:
    assert Thresholds(**ConditionsSettings().model_dump()) == Thresholds()
    assert list(ConditionsSettings.model_fields) == [each.name for each in fields(Thresholds)]


def _refused(key: str, value: float) -> str:
    with pytest.raises(ConfigError) as refused:
        build({"conditions": {key: value}}, "connectory.toml", environ={})
    return str(refused.value)


@pytest.mark.parametrize("key", list(ConditionsSettings.model_fields))
def test_a_limit_has_an_end_that_is_as_good_as_never(key: str) -> None:
    for value in (math.inf, -math.inf, math.nan, -1, 10**9):
        assert f"conditions.{key}: " in _refused(key, value)
    most = int(_refused(key, 10**9).partition("should be ")[2].partition(" at most, which is ")[0])
    assert "as good as never; " in _refused(key, most + 1)
    config = build({"conditions": {key: most}}, "connectory.toml", environ={})
    assert Thresholds(**config.conditions.model_dump()) == replace(Thresholds(), **{key: most})


def test_the_configuration_sets_them_for_every_system() -> None:
    onyx = {"kind": "onyx", "url": "http://127.0.0.1:1/api", "token": "on_x"}
    document = {"conditions": {"no_progress": 60}, "systems": [{"name": "one", **onyx}, {"name": "two", **onyx}]}
    config = build(document, "connectory.toml", environ={})
    assert [system.thresholds for system in configured_systems(config)] == [Thresholds(no_progress=60.0)] * 2
    assert json.loads(config.conditions.model_dump_json())["no_progress"] == 60.0
