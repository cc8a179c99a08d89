"""Pages of lists go on in the store that gave out their cursors, and in no other."""

import base64
import json
from typing import Any

from sqlalchemy import select, update

from connectory.model import JobErrorFact, JobStatus
from connectory.store import Store
from connectory.store.log.cursors import read_cursor
from connectory.store.tables import DELIVERIES, LOG_START
from tests.api.test_notices import filled
from tests.api.world import Asker
from tests.facts import connector, job

#: How the edges of every list of pages are asked for, and where the answer has them.
_EDGES = "(first: 1, after: $c) { edges { cursor } }"
LISTS = {
    f"query($c: String) {{ connectors{_EDGES} }}": ("connectors",),
    f"query($c: String) {{ jobs{_EDGES} }}": ("jobs",),
    f"query($c: String) {{ notices{_EDGES} }}": ("notices",),
    f"query($c: String) {{ connectors(first: 1) {{ nodes {{ jobs{_EDGES} }} }} }}": ("connectors", "nodes", 0, "jobs"),
    f"query($c: String) {{ systems {{ outages{_EDGES} }} }}": ("systems", 0, "outages"),
    f"query($c: String) {{ jobs(last: 1) {{ nodes {{ errors{_EDGES} }} }} }}": ("jobs", "nodes", 0, "errors"),
}


def first_cursor(answer: Any, path: tuple[Any, ...]) -> str:
    for step in path:
        answer = answer[step]
    return str(answer["edges"][0]["cursor"])


def without_store(cursor: str) -> str:
    """As the version before gave it out."""
    packed = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return base64.urlsafe_b64encode(json.dumps(packed[:3]).encode()).decode().rstrip("=")


async def test_a_cursor_of_another_store_is_refused_by_every_list(store: Store) -> None:
    scene = await filled(store)
    errors = (JobErrorFact("broken"), JobErrorFact("broken, too"))
    jobs = [job(id, status=JobStatus.FAILED, errors=errors) for id in ("1", "2", "3")]
    await scene.poll([connector(), connector("b")], jobs)
    ask = Asker(store, scene.now)
    cursors = {query: first_cursor(await ask(query), path) for query, path in LISTS.items()}
    for query, cursor in cursors.items():
        for good in (cursor, without_store(cursor)):
            await ask(query, c=good)
    async with store.write() as connection:
        await connection.execute(update(LOG_START).values(store=LOG_START.c.store % 1_000 + 1))
    for query, cursor in cursors.items():
        assert "another store" in await ask.refused(query, c=cursor), query
        await ask(query, c=without_store(cursor))


async def test_a_notice_tells_a_cursor_of_this_log(store: Store) -> None:
    scene = await filled(store)
    ask = Asker(store, scene.now)
    query = "query($c: String) { events(before: $c) { pageInfo { endCursor } } }"
    listed = (await ask("{ notices { nodes { id cursor } } }"))["notices"]["nodes"]
    raised = {notice["id"]: notice["cursor"] for notice in listed}
    assert len(raised) == 3
    for cursor in raised.values():
        assert read_cursor(cursor).mark is not None
        await ask(query, c=cursor)
    async with store.read() as connection:
        payloads = [json.loads(text) for text in (await connection.execute(select(DELIVERIES.c.payload))).scalars()]
    assert {told["notice"]["id"]: told["notice"]["eventCursor"] for told in payloads} == raised
    async with store.write() as connection:  # another log of the same store
        await connection.exec_driver_sql("UPDATE events SET mark = mark / 2 + 1")
        await connection.exec_driver_sql("UPDATE log_head SET mark = mark / 2 + 1")
    for cursor in raised.values():
        assert "another store" in await ask.refused(query, c=cursor)
