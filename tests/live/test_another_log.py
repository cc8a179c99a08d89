"""Cursors of a log that is no longer there: the store was lost, or a backup of it has gone on otherwise."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from connectory.model import JobStatus
from connectory.store.log.cursors import read_cursor
from connectory.store.writes.rows import append_events
from tests.backups import Backup, make_anew
from tests.cursors import START, forget, log_position
from tests.facts import connector, job
from tests.live.client import SseClient, item
from tests.live.ground import Ground, grounds

_FIELDS = "kind cursor ... on JobEvent { processed } ... on GapEvent { from to }"
EVENTS = f"subscription($after: String) {{ events(after: $after) {{ {_FIELDS} }} }}"
PAGE = f"""query($after: String, $last: Int) {{ events(after: $after, last: $last) {{
    nodes {{ {_FIELDS} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} eventCursor }}"""
PROGRESS = "subscription($id: ID!, $after: String) { jobProgress(jobId: $id, after: $after) { kind cursor processed } }"


async def run(ground: Ground, *counts: int) -> str:
    """Job j goes on to these counts; gives the cursor of the log's end."""
    for processed in counts:
        await ground.stage.poll([connector()], [job("j", status=JobStatus.RUNNING, processed=processed)])
    return str((await ground.ask("{ eventCursor }"))["eventCursor"])


async def told(ground: Ground, cursor: str) -> list[Any]:
    """What is told to who goes on from ``cursor``, whichever way he asks."""
    expected: list[Any] = (await ground.ask(PAGE, after=cursor))["events"]["nodes"]
    expected += (await ground.ask(PAGE, after=expected[-1]["cursor"]))["events"]["nodes"] if expected else []
    async for stream in _streams(ground, cursor):
        assert [await item(stream) for _ in expected] == expected
    return expected


async def _streams(ground: Ground, cursor: str) -> AsyncIterator[Any]:
    yield await ground.subscribe(EVENTS, after=cursor)
    yield await ground.subscribe(
        EVENTS.replace("(after: $after)", f'(after: "{cursor}")').replace("($after: String)", "")
    )
    client = SseClient(ground.session, ground.url)
    ground.listeners.append(client)
    yield await client.subscribe(EVENTS, {}, last_event_id=cursor)


def is_everything_after_a_gap(found: list[Any], everything: list[Any], cursor: str) -> None:
    gap, *left = found
    assert gap["kind"] == "GAP", f"only {len(left) + 1} of {len(everything)} events are told, and no gap"
    assert (gap["from"], gap["to"]) == (cursor, gap["cursor"])
    assert left == everything


async def everything(ground: Ground) -> list[Any]:
    found: list[Any] = (await ground.ask(PAGE))["events"]["nodes"]
    return found


@pytest.mark.parametrize("later", [1, 9])
async def test_a_store_that_was_lost_and_made_anew(store_url: str, later: int) -> None:
    """Whether the new log has come as far as the old one or not."""
    async with grounds(store_url) as ground:
        cursor = await run(ground, 1, 2, 3, 4)
    await make_anew(store_url)
    async with grounds(store_url) as ground:
        await run(ground, *range(101, 101 + later))
        is_everything_after_a_gap(await told(ground, cursor), await everything(ground), cursor)


async def test_a_backup_that_was_restored_and_went_on_otherwise(store_url: str) -> None:
    async with grounds(store_url) as ground:
        before = await run(ground, 1, 2, 3)
    backup = await Backup.take(store_url)
    async with grounds(store_url) as ground:
        after = await run(ground, 4, 5, 6)
    await backup.restore()
    async with grounds(store_url) as ground:
        await run(ground, 14, 15, 16, 17)
        found = await told(ground, before)
        assert [event["processed"] for event in found if "processed" in event] == [14, 15, 16, 17]
        assert "GAP" not in [event["kind"] for event in found], "it was so then, too"
        is_everything_after_a_gap(await told(ground, after), await everything(ground), after)


async def test_a_page_from_the_end_tells_the_gap_where_it_reaches_it(store_url: str) -> None:
    async with grounds(store_url) as ground:
        cursor = await run(ground, 1, 2, 3)
    await make_anew(store_url)
    async with grounds(store_url) as ground:
        await run(ground, 7, 8, 9)
        pages = {last: (await ground.ask(PAGE, after=cursor, last=last))["events"] for last in (2, 50)}
        assert [node["kind"] for node in pages[2]["nodes"]] == ["JOB_PROGRESSED"] * 2
        assert pages[2]["pageInfo"]["hasPreviousPage"] is True
        is_everything_after_a_gap(pages[50]["nodes"], await everything(ground), cursor)


async def test_a_job_is_shown_anew_to_who_knows_it_from_another_log(store_url: str) -> None:
    async with grounds(store_url) as ground:
        cursor = await run(ground, 1, 2, 3)
    await make_anew(store_url)
    async with grounds(store_url) as ground:
        await run(ground, 101, 102, 103, 104)
        async with ground.store.write() as connection:  # nothing of the job in the log after the cursor's position
            await connection.exec_driver_sql("UPDATE events SET job_id = NULL")
        shown = await item(await ground.subscribe(PROGRESS, id=ground.stage.job_id("j"), after=cursor))
        assert shown["processed"] == 104


async def test_what_ends_before_a_cursor_of_another_log_is_refused(store_url: str) -> None:
    async with grounds(store_url) as ground:
        cursor = await run(ground, 1, 2, 3)
    await make_anew(store_url)
    async with grounds(store_url) as ground:
        await run(ground, 1, 2, 3, 4)
        body = {"query": f'{{ events(before: "{cursor}") {{ nodes {{ kind }} }} }}'}
        async with ground.session.post(f"{ground.url}/graphql", json=body) as response:
            answer = await response.json()
        assert [error["extensions"]["code"] for error in answer.get("errors", ())] == ["BAD_USER_INPUT"]


async def test_a_backup_that_is_restored_under_a_running_gateway(store_url: str) -> None:
    """Whether the log that takes the place of the other is shorter, as long, or longer; summaries are counted anew."""
    async with grounds(store_url, "websocket") as ground:
        await run(ground, 1, 2, 3)
    backup = await Backup.take(store_url, rows_alone=True)
    for counts in ((), (14, 15, 16), (14, 15, 16, 17, 18)):
        async with grounds(store_url, "websocket") as ground:
            stream = await ground.subscribe(EVENTS, after=await run(ground))
            progress = await ground.subscribe(PROGRESS, id=ground.stage.job_id("j"))
            assert (await item(progress))["processed"] == 3
            await run(ground, 4, 5, 6)
            last = (await everything(ground))[-1]
            while (await item(stream))["cursor"] != last["cursor"]:
                pass
            assert [(await item(progress))["processed"] for _ in range(3)] == [4, 5, 6]
            async with ground.store.write() as connection:
                await backup.put_into(connection)
                if counts:
                    await append_events(connection, [ground.line(n) for n in counts])
            gap = await item(stream)
            assert (gap["kind"], log_position(gap["from"])) == ("GAP", log_position(last["cursor"]))
            expected = await everything(ground)
            assert [await item(stream) for _ in expected] == expected
            assert (await item(progress))["kind"] == "JOB_PROGRESSED"
            position = await ground.append([ground.line(99)])
            assert log_position((await item(stream))["cursor"]) == position
            assert (await item(progress))["processed"] == 99
            async with ground.store.write() as connection:
                await backup.put_into(connection)


# ---- cursors of this log, and such as are none


async def test_a_cursor_of_this_log_is_good_wherever_it_lies(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its beginning, at its end, in it, and where retention has removed the newest row."""
    monkeypatch.setattr("connectory.live.replay._OLDEST", 0.0)  # or rows would be told that have just been removed
    async with grounds(store_url) as ground:
        end = await run(ground, *range(1, 7))
        log = await everything(ground)
        starts = [START, log[2]["cursor"], log[3]["cursor"], end]
        for place, start in zip((0, 3, 4, len(log)), starts, strict=True):
            assert await told(ground, start) == log[place:]
        await forget(ground.store, 4)
        assert await told(ground, log[3]["cursor"]) == log[4:]
        is_everything_after_a_gap(await told(ground, log[2]["cursor"]), log[4:], log[2]["cursor"])
        is_everything_after_a_gap(await told(ground, START), log[4:], START)
        await forget(ground.store, len(log))
        assert await told(ground, end) == []
        await run(ground, 9)
        (news,) = await told(ground, end)
        assert news["processed"] == 9


async def test_a_cursor_that_somebody_has_changed_is_of_no_log(store_url: str) -> None:
    async with grounds(store_url) as ground:
        await run(ground, *range(1, 5))
        log = await everything(ground)
        place = read_cursor(log[2]["cursor"])
        assert place.mark is not None
        for other in (
            replace(place, mark=place.mark ^ 1),
            replace(place, mark=None),
            replace(place, store=place.store ^ 1 or 2),
            replace(place, position=place.position + 1),
            replace(place, position=2**63),
        ):
            page = (await ground.ask(PAGE, after=other.cursor))["events"]["nodes"]
            is_everything_after_a_gap(page, log, other.cursor)


async def test_cursors_of_the_version_before_are_believed(store_url: str) -> None:
    def before(position: int) -> str:
        return base64.urlsafe_b64encode(f"log:{position}".encode()).decode().rstrip("=")

    async with grounds(store_url) as ground:
        await run(ground, 1, 2, 3)
        log = await everything(ground)
        assert await told(ground, before(2)) == log[2:]
        for position in (0, len(log)):
            assert (await ground.ask(PAGE, after=before(position)))["events"]["nodes"] == log[position:]
        page = await ground.ask(PAGE.replace("after", "before"), before=before(3))
        assert page["events"]["nodes"] == log[:2]
        is_everything_after_a_gap(await told(ground, before(len(log) + 1)), log, before(len(log) + 1))
