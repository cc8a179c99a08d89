"""When a value counts as stale, and what a connector says of a system that does not answer."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from connectory.model import ConnectorStatus, Problem, SystemErrorCode
from connectory.store import Store
from tests.api.world import Asker, begin
from tests.facts import at, connector

SHOWN = """{ connectors { nodes { externalId isStale observedAt health
            conditions { code severity message since evidence } } } }"""
MICRO = timedelta(microseconds=1)


async def look(store: Store, now: datetime) -> dict[str, dict[str, Any]]:
    nodes = (await Asker(store, now)(SHOWN))["connectors"]["nodes"]
    return {node["externalId"]: node for node in nodes}


async def stale(store: Store, now: datetime) -> set[str]:
    """Those whose field, whose filter and whose condition say so, which have to be the same."""
    shown = {id for id, node in (await look(store, now)).items() if node["isStale"]}
    query = """query($yes: ConnectorFilter, $no: ConnectorFilter, $code: ConnectorFilter) {
        yes: connectors(filter: $yes) { nodes { externalId } } no: connectors(filter: $no) { nodes { externalId } }
        code: connectors(filter: $code) { nodes { externalId } } sourceSummaries { staleConnectors } }"""
    found = await Asker(store, now)(query, yes={"isStale": True}, no={"isStale": False}, code={"conditions": ["STALE"]})
    ids = {alias: {node["externalId"] for node in found[alias]["nodes"]} for alias in ("yes", "no", "code")}
    assert ids["yes"] == ids["code"] == shown
    assert ids["no"].isdisjoint(shown)
    assert sum(row["staleConnectors"] for row in found["sourceSummaries"]) == len(shown)
    return shown


async def test_values_become_stale_after_the_limit_and_not_at_it(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(at(0), [connector("a")])
    assert await stale(store, at(90)) == set()
    assert await stale(store, at(90) + MICRO) == {"a"}
    (node,) = (await look(store, at(100))).values()
    assert node["conditions"] == [
        {
            "code": "STALE",
            "severity": "WARNING",
            "message": "Last seen more than 90 seconds ago.",
            "since": at(90).isoformat(),
            "evidence": {"observedAt": at(0).isoformat(), "staleAfterSeconds": 90.0},
        }
    ]
    await writer.poll(at(101), [connector("a")])
    assert await stale(store, at(102)) == set()
    assert (await look(store, at(102)))["a"]["observedAt"] == at(101).isoformat()


async def test_a_row_that_the_answer_lacked_keeps_its_own_time(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(at(0), [connector("a"), connector("b")])
    problem = [Problem(SystemErrorCode.MISMATCH, "one entry cannot be read")]
    for moment in (50, 100, 150):
        await writer.poll(at(moment), [connector("a")], complete=False, problems=problem)
    shown = await look(store, at(150))
    assert (shown["a"]["observedAt"], shown["b"]["observedAt"]) == (at(150).isoformat(), at(0).isoformat())
    assert await stale(store, at(150)) == {"b"}
    assert await stale(store, at(300)) == {"a", "b"}
    await writer.poll(at(160), [connector("a"), connector("b")])
    assert (await look(store, at(160)))["b"]["observedAt"] == at(160).isoformat()
    assert await stale(store, at(160)) == set()


async def test_removed_connectors_stay_out_of_lists_and_keep_their_time(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(at(0), [connector("a"), connector("b")])
    for moment in (10, 20):
        await writer.poll(at(moment), [connector("a")])
    query = "{ connectors(filter: {includeRemoved: true}) { nodes { externalId removedAt observedAt } } }"
    nodes = (await Asker(store, at(20))(query))["connectors"]["nodes"]
    assert nodes == [
        {"externalId": "a", "removedAt": None, "observedAt": at(20).isoformat()},
        {"externalId": "b", "removedAt": at(20).isoformat(), "observedAt": at(0).isoformat()},
    ]
    assert set(await look(store, at(20))) == {"a"}


@pytest.mark.parametrize("code", [SystemErrorCode.TIMEOUT, SystemErrorCode.AUTH_FAILED])
async def test_a_system_that_does_not_answer_is_said_beside_and_leaves_health_alone(
    store: Store, code: SystemErrorCode
) -> None:
    writer = await begin(store)
    await writer.poll(at(0), [connector("a", last_success_at=at(0)), connector("b", status=ConnectorStatus.ERROR)])
    before = await look(store, at(1))
    await writer.fail(at(10), code)
    await writer.fail(at(20), code)
    after = await look(store, at(30))
    assert {id: node["health"] for id, node in after.items()} == {id: node["health"] for id, node in before.items()}
    (condition,) = after["a"]["conditions"]
    since = at(10) if code is SystemErrorCode.AUTH_FAILED else at(20)
    health = "AUTH_FAILED" if code is SystemErrorCode.AUTH_FAILED else "DOWN"
    assert condition == {
        "code": "SYSTEM_DOWN",
        "severity": "CRITICAL",
        "message": f"alpha does not answer: it said {code.name}",
        "since": since.isoformat(),
        "evidence": {"system": "alpha", "health": health, "errorCode": code.name},
    }
    both = await look(store, at(91))
    assert [each["code"] for each in both["a"]["conditions"]] == ["STALE", "SYSTEM_DOWN"]
    await writer.poll(at(92), [connector("a")])
    assert (await look(store, at(92)))["a"]["conditions"] == []


@pytest.mark.parametrize("limit", [float("inf"), 1e15])
async def test_a_limit_without_end(store: Store, limit: float) -> None:
    writer = await begin(store, stale_after=limit)
    await writer.poll(at(0), [connector("a")])
    assert await stale(store, at(10**8)) == set()
