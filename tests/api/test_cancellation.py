"""A client that goes away, and a field that fails early: neither spoils what others are answered."""

import asyncio
import contextlib

import pytest

from connectory.store import Store
from tests.api.world import Asker, begin, open_context, run
from tests.facts import at, connector, job

MUCH = """{
  connectors(first: 60) { nodes {
    latestJob { id connector { id } }
    jobs(first: 20) { totalCount nodes { id details { __typename } connector { id } } }
  } }
  jobs(first: 500) { nodes { id connector { id jobs(first: 3) { nodes { id } } } } }
}"""
BAD = """{ connectors(first: 60) { nodes {
  bad: jobs(first: 5000) { totalCount }
  latestJob { id connector { id } }
  jobs(first: 20) { totalCount nodes { id connector { id } } }
} } }"""


@pytest.fixture
async def filled(store: Store) -> Store:
    writer = await begin(store)
    jobs = [job(f"{i}-{n}", str(i)) for i in range(60) for n in range(20)]
    await writer.poll(at(0), [connector(str(i)) for i in range(60)], jobs)
    return store


async def all_is_well(store: Store) -> None:
    answer = await Asker(store)("{ connectors(first: 60) { nodes { id } } }")
    assert len(answer["connectors"]["nodes"]) == 60


async def test_clients_that_go_away_spoil_nothing(filled: Store) -> None:
    """Given up after every number of turns of the loop, so at every stage of the operation."""
    for turns in range(0, 400, 13):
        context = open_context(filled)
        asking = asyncio.ensure_future(run(context, MUCH))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(10):
            await context.close()
        await all_is_well(filled)


async def test_a_refused_field_does_not_break_the_answer(filled: Store) -> None:
    for _ in range(5):
        context = open_context(filled)
        data, errors = await run(context, BAD)
        async with asyncio.timeout(10):
            await context.close()
        assert data == {"connectors": None}
        assert {str((error.extensions or {}).get("code")) for error in errors} == {"BAD_USER_INPUT"}
        await all_is_well(filled)


async def test_lists_in_filters_are_bounded(filled: Store) -> None:
    asker = Asker(filled)
    ids = [f"x{n}" for n in range(1001)]
    for query in (
        "query ($ids: [ID!]) { jobs(filter: { connectorIds: $ids }) { totalCount } }",
        "query ($ids: [ID!]) { events(filter: { jobIds: $ids }) { pageInfo { endCursor } } }",
    ):
        _, errors = await asker.try_(query, ids=ids)
        assert ["at most 1000 values" in error.message for error in errors] == [True]
        _, errors = await asker.try_(query, ids=ids[:1000])
        assert errors == []
    for query in (
        "query ($names: [String!]) { connectors(filter: { sources: $names }) { totalCount } }",
        "query ($names: [String!]) { sourceSummaries(filter: { systems: $names }) { source } }",
    ):
        _, errors = await asker.try_(query, names=ids)
        assert ["at most 1000 values" in error.message for error in errors] == [True]
