"""Notices over GraphQL: what is listed, what became of telling it, and acknowledging."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from connectory.config.settings import ServerSettings
from connectory.engine import Engine
from connectory.model import ConditionCode, JobStatus
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.tables.identity import CONNECTOR, JOB, NOTICE, global_id
from connectory.web.app import build_app
from connectory.web.serving import serving
from tests.api.gateway import OPERATOR, Client
from tests.api.world import Asker
from tests.facts import at, connector, job
from tests.notices.scene import Scene, notices

LIST = """query ($filter: NoticeFilter, $first: Int, $after: String) {
  notices(filter: $filter, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id kind code severity title }
  }
}"""
WHOLE = """query ($id: ID!) { node(id: $id) { __typename ... on Notice {
  kind code severity title message since raisedAt recoveredAt recoveryMessage acknowledgedAt acknowledgedBy cursor
  system { name } connector { externalId name } job { externalId status }
  deliveries { receiver phase status attempts nextAttemptAt lastError deliveredAt }
} } }"""
ACKNOWLEDGE = """mutation ($id: ID!) { acknowledgeNotice(id: $id) { __typename
  ... on NoticeAcknowledged { notice { id acknowledgedAt acknowledgedBy } }
  ... on ActionFailed { code message }
} }"""


async def filled(store: Store) -> Scene:
    """A system that was down; two connectors of which one fails, and one is stuck and has not been for long."""
    scene = await Scene.open(store)
    assert isinstance(scene, Scene)
    hook = {"name": "pager", "url": "http://127.0.0.1:9/", "secret": "x" * 16}
    scene.receivers = [ReceiverSettings.model_validate(hook)]
    look = scene.notifier().look
    both = [connector(), connector("b")]
    await scene.poll(both)
    for _ in range(2):
        await scene.fail()
        await look()
    scene.seconds = 185
    await scene.poll(both)
    await look()
    failed = job("1", status=JobStatus.FAILED, error_message="Out of space.", order_at=at(50), completed_at=at(210))
    await scene.poll(both, [failed])
    await look()
    await scene.holds(ConditionCode.OVERDUE, "b")
    await look()
    scene.seconds += 30
    await scene.poll(both)
    await scene.holds(ConditionCode.NO_PROGRESS, "b")
    await look()
    scene.seconds += 40
    await scene.poll(both)
    await look()
    return scene


async def test_notices_are_listed_newest_first(store: Store) -> None:
    scene = await filled(store)
    ask = Asker(store, scene.now)

    async def titles(**filter: Any) -> list[str]:
        return [node["title"] for node in (await ask(LIST, filter=filter))["notices"]["nodes"]]

    overdue, failed, down = await titles()
    assert (overdue, failed, down) == (
        "Connector b (scripted): overdue", "Connector a (scripted): a job failed", "scripted is down"
    )  # fmt: skip
    assert await titles(kinds=["SYSTEM_DOWN", "JOB_FAILED"]) == [failed, down]
    assert await titles(open=True) == [overdue, failed]
    assert await titles(open=False) == [down]
    assert await titles(systems=["scripted"], severities=["CRITICAL"]) == [down]
    assert await titles(systems=["another"]) == []
    assert await titles(acknowledged=True) == []
    assert await titles(acknowledged=False, kinds=[]) == [overdue, failed, down]
    assert await titles(connectorIds=[global_id(CONNECTOR, "scripted", "a")]) == [failed]
    assert await titles(deliveryStatuses=["PENDING"]) == [overdue, failed, down]
    assert await titles(deliveryStatuses=["DEAD", "DELIVERED"]) == []


async def test_pages_of_notices(store: Store) -> None:
    scene = await filled(store)
    ask, seen, after = Asker(store, scene.now), [], None
    while True:
        page = (await ask(LIST, first=1, after=after))["notices"]
        assert page["totalCount"] == 3
        seen += [node["code"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ["OVERDUE", None, "SYSTEM_DOWN"]
    assert "cursor" in await ask.refused(LIST, after="bm9uc2Vuc2U")


async def test_a_notice_says_what_it_is_about_and_what_became_of_telling_it(store: Store) -> None:
    scene = await filled(store)
    ask = Asker(store, scene.now)
    down, failed, _ = await notices(store)
    pending = {"attempts": 0, "lastError": None, "deliveredAt": None, "receiver": "pager", "status": "PENDING"}
    shown = (await ask(WHOLE, id=failed["id"]))["node"]
    raised = shown["deliveries"][0]["nextAttemptAt"]
    assert shown == {
        "__typename": "Notice",
        "kind": "JOB_FAILED",
        "code": None,
        "severity": "WARNING",
        "title": "Connector a (scripted): a job failed",
        "message": "Out of space.",
        "since": "2026-08-20T10:03:30+00:00",
        "raisedAt": raised,
        "recoveredAt": None,
        "recoveryMessage": None,
        "acknowledgedAt": None,
        "acknowledgedBy": None,
        "cursor": shown["cursor"],
        "system": {"name": "scripted"},
        "connector": {"externalId": "a", "name": "Connector a"},
        "job": {"externalId": "1", "status": "FAILED"},
        "deliveries": [{"phase": "RAISED", "nextAttemptAt": raised, **pending}],
    }
    assert shown["cursor"]
    over = (await ask(WHOLE, id=down["id"]))["node"]
    assert (over["connector"], over["job"]) == (None, None)
    assert over["recoveryMessage"].startswith("scripted answers again")
    assert [delivery["phase"] for delivery in over["deliveries"]] == ["RAISED", "RECOVERED"]
    for id in (global_id(NOTICE, "scripted", "none"), global_id(JOB, "scripted", "none"), "x"):
        assert (await ask(WHOLE, id=id))["node"] is None


async def test_many_notices_are_read_by_few_statements(store: Store) -> None:
    scene = await filled(store)
    ask = Asker(store, scene.now)
    await ask("{ notices { nodes { title connector { name } job { status } deliveries { receiver } } } }")
    assert ask.statements <= 5


@asynccontextmanager
async def gateway(store: Store, scene: Scene, **server: Any) -> AsyncIterator[Client]:
    """The application over what the scene has left."""
    other = Store(store.address.url)
    engine = Engine(other, [], clock=lambda: scene.now)
    app = build_app(other, engine, ServerSettings.model_validate({"port": 0, **server}), OPERATOR)
    async with serving(app, "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
        async with other.write() as connection:
            await connection.exec_driver_sql("UPDATE systems SET configured = true")
        yield Client(address, session, app, engine)


async def acknowledge(client: Client, id: str) -> Any:
    status, body = await client.ask(ACKNOWLEDGE, variables={"id": id})
    assert (status, body.get("errors")) == (200, None)
    return body["data"]["acknowledgeNotice"]


async def test_acknowledging(store: Store) -> None:
    scene = await filled(store)
    _, failed, _ = await notices(store)
    async with gateway(store, scene) as client:
        answer = await acknowledge(client, failed["id"])
        assert answer["notice"]["id"] == failed["id"]
        assert answer["notice"]["acknowledgedBy"]
        scene.seconds += 1000
        assert await acknowledge(client, failed["id"]) == answer, "whoever was first stays"
        for id in (global_id(NOTICE, "scripted", "none"), global_id(JOB, "scripted", "1"), ""):
            refused = await acknowledge(client, id)
            assert (refused["__typename"], refused["code"]) == ("ActionFailed", "NOT_FOUND")
        _, body = await client.ask(LIST, variables={"filter": {"acknowledged": True}})
        assert [node["id"] for node in body["data"]["notices"]["nodes"]] == [failed["id"]]


async def test_viewers_may_not_acknowledge(sqlite_store: Store) -> None:
    scene = await filled(sqlite_store)
    _, failed, _ = await notices(sqlite_store)
    async with gateway(sqlite_store, scene, host="0.0.0.0", allow_anonymous=True) as client:
        refused = await acknowledge(client, failed["id"])
    assert (refused["__typename"], refused["code"]) == ("ActionFailed", "FORBIDDEN")
    assert all(row["acknowledged_at"] is None for row in await notices(sqlite_store))


async def test_what_waits_to_be_raised_is_nobodys_business_yet(store: Store) -> None:
    scene = await filled(store)
    async with store.read() as connection:
        told = (await connection.exec_driver_sql("SELECT id FROM notices WHERE raised_at IS NULL")).scalars().all()
    (waiting,) = told
    async with gateway(store, scene) as client:
        assert (await acknowledge(client, waiting))["code"] == "NOT_FOUND"
    assert (await Asker(store, scene.now)(WHOLE, id=waiting))["node"] is None
