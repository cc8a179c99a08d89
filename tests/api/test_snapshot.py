"""One operation reads one snapshot, whatever is written meanwhile."""

from connectory.store import Store
from tests.api.world import NOW, Asker, begin, open_context, run
from tests.cursors import log_position
from tests.facts import connector, job

LOOK = """{ eventCursor connectors { totalCount nodes { name status } countBy(field: SOURCE) { count } }
            systems { health totalConnectors runningJobs } jobs { totalCount } events { nodes { cursor } }
            sourceSummaries { source totalConnectors } }"""


async def test_a_commit_in_between_is_not_seen(store: Store) -> None:
    writer = await begin(store)
    await writer.poll(NOW, [connector("a")])
    ctx = open_context(store)
    try:
        cursor, _ = await run(ctx, "{ eventCursor }")
        await writer.poll(NOW, [connector("a", name="renamed"), connector("b")], [job("1")])
        await writer.fail(NOW)
        await writer.fail(NOW)
        seen, errors = await run(ctx, LOOK)
    finally:
        await ctx.close()
    assert not errors
    assert seen["eventCursor"] == cursor["eventCursor"]
    assert seen["connectors"]["nodes"] == [{"name": "Connector a", "status": "ACTIVE"}]
    assert seen["connectors"]["totalCount"] == 1
    assert seen["systems"] == [{"health": "UP", "totalConnectors": 1, "runningJobs": 0}]
    assert seen["jobs"]["totalCount"] == 0
    assert [event["cursor"] for event in seen["events"]["nodes"]][-1] == cursor["eventCursor"]
    later = await Asker(store)(LOOK)
    assert later["connectors"]["totalCount"] == 2
    assert later["systems"][0]["health"] == "DOWN"
    assert log_position(later["eventCursor"]) == log_position(cursor["eventCursor"]) + len(later["events"]["nodes"]) - 2


async def test_what_follows_the_cursor_is_what_was_not_seen(store: Store) -> None:
    """The cursor of one answer and the events after it leave nothing out and nothing twice."""
    writer = await begin(store)
    await writer.poll(NOW, [connector("a")])
    ask = Asker(store)
    after = "query($c: String) { events(after: $c) { nodes { __typename kind } pageInfo { endCursor } } }"
    first = (await ask("{ eventCursor }"))["eventCursor"]
    assert (await ask(after, c=first))["events"] == {"nodes": [], "pageInfo": {"endCursor": first}}
    await writer.poll(NOW, [connector("a", name="renamed")])
    found = (await ask(after, c=first))["events"]
    assert [node["kind"] for node in found["nodes"]] == ["CONNECTOR_CHANGED"]
    assert found["pageInfo"]["endCursor"] == (await ask("{ eventCursor }"))["eventCursor"]
