"""Global ids: the same everywhere and for ever, and harmless when they are made up."""

import base64
from typing import Any

from connectory.store import Store
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from tests.api.world import NOW, Asker, World, begin
from tests.facts import connector, job

NODE = "query($id: ID!) { node(id: $id) { __typename id } connector(id: $id) { id } job(id: $id) { id } }"
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"


async def test_each_type_by_its_id(ask: Asker, world: World) -> None:
    of_type: tuple[tuple[str, list[Any]], ...] = (
        ("System", world.systems),
        ("Connector", world.connectors),
        ("Job", world.jobs[:20]),
    )
    for type_, rows in of_type:
        for row in rows:
            found = await ask(NODE, id=row.id)
            itself = {"id": row.id}
            assert found == {
                "node": {"__typename": type_, **itself},
                "connector": itself if type_ == "Connector" else None,
                "job": itself if type_ == "Job" else None,
            }


def packed(plain: str | bytes) -> str:
    return base64.b64encode(plain if isinstance(plain, bytes) else plain.encode()).decode()


ITSELF = packed("Connector:alpha:1")
PLAIN = ("Connector", "Connector:", ":alpha:1", "Viewer:alpha:1", "connector:alpha:1", "System:alpha\x00", b"\xff\xfe")
MALFORMED = [
    "", " ", "1", "x", "====", "é", "\x00", "'; DROP TABLE jobs; --", "a" * 100_000,
    *(packed(plain) for plain in PLAIN),
    ITSELF + "\n", ITSELF + "====", ITSELF.swapcase(),
]  # fmt: skip
UNKNOWN = [
    global_id(SYSTEM, "nobody"), global_id(CONNECTOR, "alpha", "nobody"), global_id(JOB, "alpha", "nobody"),
    global_id(JOB, "alpha", "1"), global_id(CONNECTOR, "alpha", "a1"), global_id(CONNECTOR, "alpha"),
    global_id(SYSTEM, "alpha", "1"), global_id(CONNECTOR, "alpha", "\x00"), global_id(CONNECTOR, "nobody", "1"),
]  # fmt: skip


async def test_ids_that_name_nothing(ask: Asker) -> None:
    for id in (*MALFORMED, *UNKNOWN):
        assert await ask(NODE, id=id) == {"node": None, "connector": None, "job": None}, id


async def test_many_ids_in_the_order_asked(ask: Asker, world: World) -> None:
    rows: list[Any] = [*world.systems, *world.connectors, *world.jobs]
    ids = [row.id for row in rows][::-1]
    mixed = [*ids, *MALFORMED, *UNKNOWN, *ids]
    found = (await ask(NODES, ids=mixed))["nodes"]
    names = [*ids, *[None] * (len(MALFORMED) + len(UNKNOWN)), *ids]
    assert [node and node["id"] for node in found] == names
    assert (await ask(NODES, ids=[]))["nodes"] == []


async def test_a_thousand_ids_and_one_more(ask: Asker, world: World) -> None:
    id = world.connectors[0].id
    assert len((await ask(NODES, ids=[id] * 1000))["nodes"]) == 1000
    assert await ask.refused(NODES, ids=[id] * 1001) == "'ids' may hold at most 1000 ids, not 1001."
    data, _ = await ask.try_("query($ids: [ID!]!) { nodes(ids: $ids) { id } eventCursor }", ids=[id] * 1001)
    assert data["nodes"] is None
    assert data["eventCursor"]


async def test_ids_are_the_same_on_both_kinds_of_store(sqlite_world: World, postgres_world: World) -> None:
    shown = []
    query = "{ systems { id } connectors(first: 1000) { nodes { id name } } jobs(first: 1000) { nodes { id } } }"
    for world in (sqlite_world, postgres_world):
        store = Store(world.url)
        shown.append(await Asker(store)(query))
        await store.close()
    assert shown[0] == shown[1]


async def test_ids_survive_a_restart(store_url: str) -> None:
    query = "{ systems { id } connectors { nodes { id } } jobs { nodes { id } } }"
    shown = []
    for is_first in (True, False):
        store = Store(store_url)
        await store.open()
        await store.upgrade()
        writer = await begin(store)
        if is_first:
            await writer.poll(NOW, [connector("é 🚀:/")], [job("1:2", "é 🚀:/")])
        shown.append(await Asker(store)(query))
        await store.close()
    assert shown[0] == shown[1]
    assert shown[0]["connectors"]["nodes"] == [{"id": global_id(CONNECTOR, "alpha", "é 🚀:/")}]


async def test_removed_connectors_still_answer_to_their_id(ask: Asker, world: World) -> None:
    removed = [row for row in world.connectors if row.removed_at]
    found = (await ask("query($ids: [ID!]!) { nodes(ids: $ids) { ... on Connector { id removedAt } } }",
                       ids=[row.id for row in removed]))["nodes"]  # fmt: skip
    assert removed
    assert all(node["removedAt"] for node in found)


async def test_an_odd_name_comes_back_whole(store: Store) -> None:
    """A NUL, which PostgreSQL has no place for, is U+FFFD on both stores; all else stays as it was said."""
    names = {"a": "nul \x00 inside", "b": "🚀👩‍👩‍👧 \u200b\u202e \r\n\t", "c": "\"\\/'%_;--", "d": "\U0010ffffé"}
    writer = await begin(store)
    await writer.poll(NOW, [connector(id, name=name, error_message=name) for id, name in names.items()])
    ask = Asker(store)
    nodes = (await ask("{ connectors { nodes { externalId name errorMessage } } }"))["connectors"]["nodes"]
    names["a"] = "nul \ufffd inside"
    assert {node["externalId"]: node["name"] for node in nodes} == names
    assert all(node["name"] == node["errorMessage"] for node in nodes)
    for id, name in names.items():
        query = "query($n: String) { connectors(filter: {nameContains: $n}) { nodes { externalId } } }"
        assert (await ask(query, n=name[1:]))["connectors"]["nodes"] == [{"externalId": id}]
