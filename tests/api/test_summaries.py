"""One row per content source, counted in SQL, against the same counted in Python."""

from random import Random
from typing import Any

import pytest

from connectory.model import RUNNING, AccessType, ConnectorHealth, ConnectorMode, ConnectorStatus, JobStatus
from connectory.store import Store
from tests.api.test_connectors import CRITERIA, let_through
from tests.api.test_paging import JOB_ORDERS
from tests.api.world import NOW, Asker, ConnectorModel, World, begin, in_order
from tests.facts import at, connector, job

COUNTS = """source totalConnectors activeConnectors publicConnectors failingConnectors staleConnectors runningJobs
            totalDocsIndexed lastSuccessAt"""
SUMMARIES = f"query($f: ConnectorFilter) {{ sourceSummaries(filter: $f) {{ {COUNTS} }} }}"


def summary(world: World, source: str, rows: list[ConnectorModel]) -> dict[str, Any]:
    own = [row for row in rows if row.fact.mode is not ConnectorMode.FEDERATED]
    documents = [row.fact.docs_indexed for row in own if row.fact.docs_indexed is not None]
    successes = [row.fact.last_success_at for row in own if row.fact.last_success_at is not None]
    ids = {row.id for row in own}
    return {
        "source": source,
        "totalConnectors": len(rows),
        "activeConnectors": sum(row.fact.status is ConnectorStatus.ACTIVE for row in own),
        "publicConnectors": sum(row.fact.access_type is AccessType.PUBLIC for row in own),
        "failingConnectors": sum(row.health is ConnectorHealth.FAILING for row in own),
        "staleConnectors": sum(row.is_stale for row in own),
        "runningJobs": sum(job.status in RUNNING and job.connector_id in ids for job in world.jobs),
        "totalDocsIndexed": sum(documents) if documents else None,
        "lastSuccessAt": max(successes).isoformat() if successes else None,
    }


def summaries(world: World, filter: dict[str, Any]) -> list[dict[str, Any]]:
    rows = let_through(world, filter)
    sources = sorted({row.fact.source for row in rows})
    return [summary(world, source, [row for row in rows if row.fact.source == source]) for source in sources]


async def test_summaries_count_what_the_filter_lets_through(ask: Asker, world: World) -> None:
    chance = Random(4)
    filters: list[dict[str, Any]] = [{}, {"includeRemoved": True}]
    filters += [
        {name: CRITERIA[name][0](chance) for name in chance.sample(list(CRITERIA), chance.randint(1, 2))}
        for _ in range(30)
    ]
    filled = 0
    for filter in filters:
        found = (await ask(SUMMARIES, f=filter))["sourceSummaries"]
        assert found == summaries(world, filter), filter
        filled += bool(found)
    assert filled > 15


@pytest.mark.parametrize("filter", [{}, {"systems": ["alpha", "delta"], "includeRemoved": True}])
async def test_the_connectors_of_a_summary_are_those_that_it_counts(
    ask: Asker, world: World, filter: dict[str, Any]
) -> None:
    query = """query($f: ConnectorFilter) { sourceSummaries(filter: $f) { source totalConnectors
        connectors(first: 3, orderBy: {field: DOCS_INDEXED, direction: DESC}) {
            totalCount totalPages nodes { id } countBy(field: SYSTEM) { value count } } } }"""
    found = (await ask(query, f=filter))["sourceSummaries"]
    assert ask.statements <= 7
    for row in found:
        rows = [each for each in let_through(world, filter) if each.fact.source == row["source"]]
        shown = row["connectors"]
        assert shown["totalCount"] == row["totalConnectors"] == len(rows)
        assert shown["totalPages"] == -(-len(rows) // 3)
        expected = in_order(rows, lambda each: each.fact.docs_indexed, descending=True)
        assert [node["id"] for node in shown["nodes"]] == expected[:3]
        assert sum(each["count"] for each in shown["countBy"]) == len(rows)


async def test_two_filters_in_one_operation_do_not_mix(ask: Asker, world: World) -> None:
    query = """{ a: sourceSummaries(filter: {systems: ["alpha"]}) { ...Row }
                 b: sourceSummaries(filter: {systems: ["beta"]}) { ...Row } }
               fragment Row on SourceSummary { source connectors { nodes { system { name } } } }"""
    found = await ask(query)
    for alias, system in (("a", "alpha"), ("b", "beta")):
        names = {node["system"]["name"] for row in found[alias] for node in row["connectors"]["nodes"]}
        assert names == {system}


async def test_federated_connectors_count_in_the_total_only(store: Store) -> None:
    writer = await begin(store)
    public = {"source": "slack", "access_type": AccessType.PUBLIC, "last_success_at": at(5)}
    federated = {"mode": ConnectorMode.FEDERATED, "in_repeated_error_state": True, "docs_indexed": 9}
    facts = [connector("1", **public, docs_indexed=2), connector("2", **public, **federated), connector("3")]
    jobs = [job("j", "1", JobStatus.CANCELING), job("k", "1", JobStatus.PENDING), job("l", "2", JobStatus.RUNNING)]
    await writer.poll(NOW, facts, jobs)
    slack, web = (await Asker(store)(SUMMARIES))["sourceSummaries"]
    assert slack == {
        "source": "slack", "totalConnectors": 2, "activeConnectors": 1, "publicConnectors": 1, "failingConnectors": 0,
        "staleConnectors": 0, "runningJobs": 1, "totalDocsIndexed": 2, "lastSuccessAt": at(5).isoformat(),
    }  # fmt: skip
    assert (web["totalDocsIndexed"], web["lastSuccessAt"], web["runningJobs"]) == (None, None, 0)


async def test_sums_are_exact_up_to_64_bits_and_spare_the_rest_beyond(store: Store) -> None:
    writer = await begin(store)
    most = 2**63 - 1
    facts = [connector(str(n), source="s3", docs_indexed=most // 4) for n in range(4)]
    await writer.poll(NOW, [*facts, *(connector(f"w{n}", docs_indexed=most) for n in range(2))])
    data, (error,) = await Asker(store).try_(SUMMARIES)
    s3, web = data["sourceSummaries"]
    assert s3["totalDocsIndexed"] == most // 4 * 4
    assert (web["totalDocsIndexed"], web["totalConnectors"]) == (None, 2)
    assert error.path == ["sourceSummaries", 1, "totalDocsIndexed"]
    assert "64 bits" in error.message


async def test_running_jobs_of_systems(ask: Asker, world: World) -> None:
    for system in (await ask("{ systems { name totalConnectors runningJobs } }"))["systems"]:
        running = [job for job in world.jobs if job.system.name == system["name"] and job.status in RUNNING]
        assert system["runningJobs"] == len(running)
    assert in_order(world.jobs, JOB_ORDERS["STATUS"], descending=False), "the world has jobs"
