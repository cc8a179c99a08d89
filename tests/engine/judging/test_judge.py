"""All families together: what replaces what, what is documented, and what holds whatever happens."""

import json
from collections.abc import Sequence
from dataclasses import fields
from random import Random

import pytest

from connectory.engine.judging.catalogue import MEANINGS
from connectory.engine.judging.judge import REPLACES, judge
from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import ConnectorView, Finding, JobView, Run, Sample, SystemView
from connectory.model import ConditionCode, ConnectorMode, ConnectorStatus, JobStatus, JobType
from tests.engine.judging.views import ELASTIC, HOUR, LIMITS, ONYX, ZENSEARCH, by_key, connector, job, run
from tests.facts import at

JUDGED = frozenset(ConditionCode) - {ConditionCode.STALE, ConditionCode.SYSTEM_DOWN}
GROWTH = frozenset({ConditionCode.PARSE_ERRORS, ConditionCode.TRANSPORT_ERRORS})
SEEDS = range(40)


def counted(chance: Random, until: float) -> tuple[Sample, ...]:
    """Samples as a troubled world makes them: standing still, repeated, reset."""
    found, second, value = [], chance.uniform(-2 * HOUR, 0), chance.randrange(100)
    for _ in range(chance.randrange(12)):
        second = min(until, second + chance.choice((1, 15, 15, 900)))
        value = chance.choice((value, value, value + chance.randrange(50), 0))
        found.append(Sample(at(second), value))
    return tuple(found)


def maybe(chance: Random, low: float, high: float) -> float | None:
    return chance.choice((None, chance.uniform(low, high)))


def any_job(chance: Random, id: str) -> JobView:
    return job(
        id,
        chance.choice(list(JobStatus)),
        type=chance.choice(list(JobType)),
        first_seen_at=chance.uniform(-3 * HOUR, 0),
        created_at=maybe(chance, -4 * HOUR, HOUR),
        status_since=maybe(chance, -HOUR, 0),
        last_seen_at=maybe(chance, -4 * HOUR, HOUR),
        heartbeat_at=maybe(chance, -2 * HOUR, 0),
        moved_at=maybe(chance, -2 * HOUR, 0),
        processed=chance.choice((None, 0, 40)),
        failed=chance.choice((None, 0, 3)),
        backlog=chance.choice((None, 0, 9)),
        samples=counted(chance, 0),
    )


def any_runs(chance: Random) -> list[Run]:
    every = chance.choice((600, HOUR, 24 * HOUR))
    return [
        run(
            f"r{number}",
            chance.choice((JobStatus.SUCCEEDED, JobStatus.FAILED, *JobStatus)),
            started_at=None if chance.random() < 0.1 else -(number + chance.random()) * every - HOUR,
            completed_at=None if chance.random() < 0.1 else -number * every - 60,
            failed=chance.choice((None, 0, 5)),
            longest_stall=chance.choice((None, 30.0, 2000.0)),
        )
        for number in range(chance.randrange(21))
    ]


def any_connector(chance: Random, id: str = "c") -> ConnectorView:
    past = any_runs(chance)
    view = connector(
        *(any_job(chance, f"{id}/{number}") for number in range(chance.randrange(4))),
        mode=chance.choice((ConnectorMode.BATCH, *ConnectorMode)),
        status=chance.choice((ConnectorStatus.ACTIVE, *ConnectorStatus)),
        status_since=maybe(chance, -9 * HOUR, 0),
        worker_seen_at=maybe(chance, -9 * HOUR, HOUR),
        worker_moved_at=maybe(chance, -9 * HOUR, 0),
        schedule_seconds=chance.choice((None, None, HOUR)),
        parse_errors=counted(chance, 0),
        transport_errors=counted(chance, 0),
        blocks_checkpoint_since=maybe(chance, -HOUR, 0),
        runs=past,
        last_started_at=maybe(chance, -30 * HOUR, 0),
    )
    return ConnectorView(**{f.name: getattr(view, f.name) for f in fields(view)} | {"id": id})


def world(chance: Random) -> tuple[SystemView, list[ConnectorView]]:
    return chance.choice((ELASTIC, ONYX, ZENSEARCH)), [any_connector(chance, f"c{number}") for number in range(30)]


def in_order(findings: Sequence[Finding]) -> list[tuple[str, ConditionCode]]:
    return [(finding.subject_id, finding.code) for finding in findings]


def test_troubled_worlds_hold_every_condition() -> None:
    """Else the tests below would prove little."""
    worlds = [world(Random(seed)) for seed in SEEDS]
    assert {f.code for system, views in worlds for f in judge(system, views, LIMITS, {}, at(0))} == JUDGED


@pytest.mark.parametrize("seed", SEEDS)
def test_asked_again_it_answers_the_same(seed: int) -> None:
    system, views = world(Random(seed))
    first = judge(system, views, LIMITS, {}, at(0))
    assert judge(system, views, LIMITS, by_key(first), at(0)) == first


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_flaps_while_nothing_changes(seed: int) -> None:
    """With time alone a condition comes, or gives way to one that says more; growth of errors ends with its window."""
    system, views = world(Random(seed))
    before = judge(system, views, LIMITS, {}, at(0))
    for second in range(15, 7200, 150):
        after = judge(system, views, LIMITS, by_key(before), at(second))
        holds = by_key(after)
        for finding in before:
            now = holds.get((finding.subject_id, finding.code))
            replaced = any((finding.subject_id, code) in holds for code in REPLACES if finding.code in REPLACES[code])
            assert now is not None or replaced or finding.code in GROWTH, finding
            assert now is None or now.since == finding.since
            assert now is None or now.severity.value >= finding.severity.value
            assert now is None or finding.code in GROWTH or now.message == finding.message
        before = after


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_found_makes_sense(seed: int) -> None:
    system, views = world(Random(seed))
    found = judge(system, views, LIMITS, {}, at(0))
    assert len(set(in_order(found))) == len(found)
    owners = {each.id: view.id for view in views for each in view.jobs} | {view.id: view.id for view in views}
    for finding in found:
        assert finding.since <= at(0)
        assert finding.severity in MEANINGS[finding.code].severities
        assert finding.evidence.keys() == MEANINGS[finding.code].evidence.keys()
        assert json.loads(json.dumps(finding.evidence)) == finding.evidence
        assert finding.message.endswith(".")
        assert owners[finding.subject_id] == finding.connector_id
        assert finding.job_id == (None if finding.subject_id == finding.connector_id else finding.subject_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_set_back_raises_nothing_and_ends_nothing(seed: int) -> None:
    system, views = world(Random(seed))
    found = judge(system, views, LIMITS, {}, at(0))
    after = judge(system, views, LIMITS, by_key(found), at(-HOUR))
    assert [f for f in after if f.code not in GROWTH] == [f for f in found if f.code not in GROWTH]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_connector_is_no_matter_of_another(seed: int) -> None:
    system, views = world(Random(seed))
    found = judge(system, views, LIMITS, {}, at(0))
    alone = [finding for view in views for finding in judge(system, [view], LIMITS, by_key(found), at(0))]
    assert alone == found


def test_every_code_that_is_judged_is_documented() -> None:
    assert MEANINGS.keys() == JUDGED
    named = {name for meaning in MEANINGS.values() for name in meaning.thresholds}
    assert named == {f.name for f in fields(Thresholds)}
