"""What each subscription yields, on both stores and alike over both transports."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, update

from connectory.live import live
from connectory.model import JobStatus
from connectory.store.tables import EVENTS, JOBS
from resolvers.feeds import CHUNK
from tests.cursors import START, cursor_at, forget, log_position
from tests.facts import at, connector, job
from tests.live.client import Complete, SocketClient, SseClient, Stream, item, rest
from tests.live.ground import Ground, grounds
from tests.wait import until

PROGRESS = """subscription($id: ID!, $after: String) { jobProgress(jobId: $id, after: $after) {
    cursor at kind jobId jobStatus previousJobStatus processed changedFields
    job { status progress { processed } connector { name } } } }"""
EVENTS_ = """subscription($f: EventFilter, $after: String) { events(filter: $f, after: $after) {
    __typename cursor kind
    ... on JobEvent { jobId processed job { progress { processed } } }
    ... on ConnectorEvent { connectorId }
    ... on GapEvent { from to } } }"""
SUMMARIES = """subscription($sources: [String!]) { sourceSummaryChanged(sources: $sources) {
    source totalConnectors activeConnectors staleConnectors runningJobs totalDocsIndexed
    connectors { totalCount nodes { name } } } }"""
PAGE = """query($f: EventFilter, $after: String) { events(filter: $f, after: $after, first: 1000) {
    nodes { cursor kind ... on JobEvent { processed } } } }"""

RUNNING = JobStatus.RUNNING
#: Rows of the log where a replay begins, which are several times what it reads at once, and commits while it runs: one
#: for every five events that it has given.
_ROWS, _WRITES = 600, 120


@pytest.fixture
async def ground(store_url: str) -> AsyncIterator[Ground]:
    async with grounds(store_url) as found:
        yield found


async def each(ground: Ground, query: str, **variables: Any) -> AsyncIterator[Stream]:
    """The operation over one transport after the other, for what may differ between two who ask."""
    for ground.transport in ("websocket", "sse"):
        yield await ground.subscribe(query, **variables)


async def refusal(stream: Stream) -> str:
    """The code of the one error that a subscription ends with at once."""
    result = await stream.next()
    assert result.get("data") is None, result
    (error,) = result["errors"]
    assert error["message"]
    with pytest.raises(Complete):
        await stream.next()
    return str(error["extensions"]["code"])


async def run_to(ground: Ground, *counts: int) -> None:
    """Job j of connector a goes on to each of these counts, one poll for each."""
    for processed in counts:
        await ground.stage.poll([connector()], [job("j", status=RUNNING, processed=processed)])


# ---- jobProgress


async def test_a_job_is_shown_as_it_is_then_at_each_change_until_it_has_ended(ground: Ground) -> None:
    other = job("k", status=RUNNING, processed=1)
    await ground.stage.poll([connector()], [job("j", status=RUNNING, processed=5), other])
    stream = await ground.subscribe(PROGRESS, id=ground.stage.job_id("j"))
    opening = await item(stream)
    head = len(await ground.log())
    assert (opening["kind"], opening["jobStatus"], opening["processed"]) == ("JOB_PROGRESSED", "RUNNING", 5)
    assert opening["cursor"] == await cursor_at(ground.store, head)
    assert opening["job"] == {"status": "RUNNING", "progress": {"processed": 5}, "connector": {"name": "Connector a"}}
    for processed in (6, 9, 12):
        moved = job("k", status=RUNNING, processed=processed)
        await ground.stage.poll([connector()], [job("j", status=RUNNING, processed=processed), moved])
        told = await item(stream)
        assert (told["kind"], told["jobStatus"], told["processed"]) == ("JOB_PROGRESSED", "RUNNING", processed)
        assert told["job"]["progress"]["processed"] == processed
    await ground.stage.poll([connector()], [job("j", processed=20), other])
    (last,) = await rest(stream)
    assert (last["kind"], last["jobStatus"], last["previousJobStatus"]) == ("JOB_FINISHED", "SUCCEEDED", "RUNNING")
    assert last["job"]["status"] == "SUCCEEDED"


async def test_every_row_of_the_jobs_log_is_one_item(ground: Ground) -> None:
    await run_to(ground, 1)
    streams = [stream async for stream in each(ground, PROGRESS, id=ground.stage.job_id("j"))]
    openings = [await item(stream) for stream in streams]
    await run_to(ground, *range(2, 30))
    await ground.stage.poll([connector()], [job("j", processed=30)])
    page = await ground.ask(PAGE, f={"jobIds": [ground.stage.job_id("j")]}, after=openings[0]["cursor"])
    for stream, opening in zip(streams, openings, strict=True):
        assert opening["cursor"] == openings[0]["cursor"]
        items = [{key: told[key] for key in ("cursor", "kind", "processed")} for told in await rest(stream)]
        assert items == page["events"]["nodes"]
        assert len(items) >= 29


async def test_a_job_that_has_ended_is_one_item(ground: Ground) -> None:
    ended = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.INTERRUPTED)
    await ground.stage.poll([connector()], [job(status.name, status=status, processed=5) for status in ended])
    for status in ended:
        (told,) = await rest(await ground.subscribe(PROGRESS, id=ground.stage.job_id(status.name)))
        assert (told["kind"], told["jobStatus"], told["processed"]) == ("JOB_FINISHED", status.name, 5)


async def test_an_ended_job_whose_outcome_is_unknown_is_one_item(ground: Ground) -> None:
    ended = job("j", status=JobStatus.UNKNOWN, completed_at=at(5))
    await ground.stage.poll([connector()], [ended])
    (told,) = await rest(await ground.subscribe(PROGRESS, id=ground.stage.job_id("j")))
    assert (told["kind"], told["jobStatus"]) == ("JOB_FINISHED", "UNKNOWN")


async def test_a_job_that_vanished_is_over(ground: Ground) -> None:
    """Its upstream no longer tells of it: whoever follows it is told so, and so is who asks later."""
    id = ground.stage.job_id("j")
    await run_to(ground, 1)
    follower = await ground.subscribe(PROGRESS, id=id)
    opening = await item(follower)
    await ground.stage.poll([connector()], gone={"j"})
    (told,) = await rest(follower)
    late = await rest(await ground.subscribe(PROGRESS, id=id))
    again = await rest(await ground.subscribe(PROGRESS, id=id, after=opening["cursor"]))
    for last in (told, *late, *again):
        assert (last["kind"], last["jobStatus"]) == ("JOB_FINISHED", "UNKNOWN")
        assert last["job"]["status"] == "UNKNOWN"
    assert (len(late), len(again)) == (1, 1)
    assert await rest(await ground.subscribe(PROGRESS, id=id, after=told["cursor"])) == []
    query = "query($id: ID!) { node(id: $id) { ... on Job { vanishedAt completedAt } } }"
    shown = (await ground.ask(query, id=id))["node"]
    assert (shown["vanishedAt"] is not None, shown["completedAt"]) == (True, None)


async def test_an_unknown_job_is_an_error(ground: Ground) -> None:
    await ground.configure("scripted", "hidden")
    for stage in ground.stages.values():
        await stage.poll([connector()], [job("j", status=RUNNING)])
    await ground.configure("scripted")
    stage = ground.stage
    for id in (stage.job_id("?"), "?", "", stage.connector_id("a"), ground.stages["hidden"].job_id("j")):
        assert await refusal(await ground.subscribe(PROGRESS, id=id)) == "NOT_FOUND", id


async def test_a_cursor_that_is_none_is_an_error(ground: Ground) -> None:
    await run_to(ground, 1)
    for cursor in ("?", "bG9nOi0x", "am9iOjE"):
        assert await refusal(await ground.subscribe(EVENTS_, after=cursor)) == "BAD_USER_INPUT", cursor
        progress = await ground.subscribe(PROGRESS, id=ground.stage.job_id("j"), after=cursor)
        assert await refusal(progress) == "BAD_USER_INPUT", cursor


async def test_the_opening_is_left_out_only_when_nothing_changed(ground: Ground) -> None:
    await run_to(ground, 1)
    id = ground.stage.job_id("j")
    seen = (await item(await ground.subscribe(PROGRESS, id=id)))["cursor"]
    await ground.stage.poll([connector(), connector("b")])  # something else grows the log
    again = [stream async for stream in each(ground, PROGRESS, id=id, after=seen)]
    for number in (2, 3):
        await run_to(ground, number)
        assert [(await item(stream))["processed"] for stream in again] == [number, number]
    ground.transport = "both"
    missed = await ground.subscribe(PROGRESS, id=id, after=seen)
    opening = await item(missed)
    assert (opening["kind"], opening["processed"]) == ("JOB_PROGRESSED", 3)
    await run_to(ground, 4)
    assert [(await item(stream))["processed"] for stream in (*again, missed)] == [4, 4, 4]


async def test_the_end_is_told_once_across_a_resume(ground: Ground) -> None:
    await run_to(ground, 1)
    id = ground.stage.job_id("j")
    before = (await item(await ground.subscribe(PROGRESS, id=id)))["cursor"]
    await ground.stage.poll([connector()], [job("j", processed=2)])
    (missed,) = await rest(await ground.subscribe(PROGRESS, id=id, after=before))
    assert missed["kind"] == "JOB_FINISHED"
    assert await rest(await ground.subscribe(PROGRESS, id=id, after=missed["cursor"])) == []


async def test_a_job_is_shown_again_when_what_changed_is_no_longer_kept(ground: Ground) -> None:
    await run_to(ground, 1)
    id = ground.stage.job_id("j")
    seen = (await item(await ground.subscribe(PROGRESS, id=id)))["cursor"]
    await run_to(ground, 2)
    async with ground.store.write() as connection:
        await connection.execute(delete(EVENTS))
    assert (await item(await ground.subscribe(PROGRESS, id=id, after=seen)))["processed"] == 2


async def test_one_leaves_and_the_others_go_on(ground: Ground) -> None:
    await run_to(ground, 1)
    listener = await ground.connect()
    streams = [await listener.subscribe(PROGRESS, {"id": ground.stage.job_id("j")}) for _ in range(3)]
    assert [(await item(stream))["processed"] for stream in streams] == [1, 1, 1]
    await streams.pop(1).leave()
    await run_to(ground, 2)
    assert [(await item(stream))["processed"] for stream in streams] == [2, 2]
    stranger = await ground.connect()
    lost = await stranger.subscribe(PROGRESS, {"id": ground.stage.job_id("j")})
    await item(lost)
    stranger.drop()
    ground.listeners.remove(stranger)
    await run_to(ground, 3)
    assert [(await item(stream))["processed"] for stream in streams] == [3, 3]


# ---- events


async def test_without_a_cursor_only_what_comes_from_now_on(ground: Ground) -> None:
    await run_to(ground, 1)
    past = len(await ground.log())
    await item(await ground.subscribe(EVENTS_, after=START))  # who asks the same from elsewhere on
    firsts = [asyncio.create_task(item(stream)) async for stream in each(ground, EVENTS_)]
    processed = 2
    while not all(first.done() for first in firsts):
        await run_to(ground, processed)
        processed += 1
    assert all(log_position(first.result()["cursor"]) > past for first in firsts)


async def test_filters(ground: Ground) -> None:
    await ground.configure("scripted", "other")
    one, two = ground.stages.values()
    filters: list[dict[str, Any]] = [
        {},
        {"systems": ["other"]},
        {"systems": ["?"]},
        {"connectorIds": [one.connector_id("a")]},
        {"jobIds": [one.job_id("j"), two.job_id("j"), "?"]},
        {"kinds": ["JOB_CREATED", "CONNECTOR_ADDED"]},
        {"systems": ["scripted"], "kinds": ["JOB_FINISHED"], "jobIds": []},
    ]

    async def act(n: int) -> None:
        for stage in (one, two):
            running = [job(f"j{n}", status=RUNNING), job("j", "b", status=RUNNING, processed=n)]
            await stage.poll([connector(), connector("b"), connector(f"c{n}")], running)
            await stage.poll([connector(), connector("b"), connector(f"c{n}")], [job(f"j{n}")])

    await act(1)
    streams = [[stream async for stream in each(ground, EVENTS_, f=filter, after=START)] for filter in filters]
    told: list[list[str]] = [[] for _ in filters]
    for n in (2, 3):  # what comes after the last expected item would show in the next round
        await act(n)
        for number, filter in enumerate(filters):
            expected = [node["cursor"] for node in (await ground.ask(PAGE, f=filter))["events"]["nodes"]]
            for stream in streams[number]:
                new = [(await item(stream))["cursor"] for _ in expected[len(told[number]) :]]
                assert told[number] + new == expected, filter
            told[number] = expected
    assert [bool(seen) for seen in told] == [True, True, False, True, True, True, True]


async def test_replay_goes_over_into_live_without_a_seam(ground: Ground) -> None:
    await run_to(ground, 1)
    await ground.append([ground.line(n) for n in range(_ROWS)])
    turns = asyncio.Semaphore(0)

    async def write() -> None:
        for n in range(_WRITES):
            await turns.acquire()
            await run_to(ground, 2 + n)

    writer = asyncio.create_task(write())
    stream = await ground.subscribe("subscription($after: String) { events(after: $after) { cursor } }", after=START)
    positions: list[int] = []
    for _ in range(_WRITES):
        positions += [log_position((await item(stream))["cursor"]) for _ in range(5)]
        turns.release()
    await writer
    rows = await ground.log()
    assert _ROWS > 5 * CHUNK
    assert len(rows) > _ROWS + _WRITES
    positions += [log_position((await item(stream))["cursor"]) for _ in rows[len(positions) :]]
    assert positions == [row.position for row in rows] == list(range(1, len(rows) + 1))


async def test_a_stretch_that_is_no_longer_kept_is_told_first(ground: Ground) -> None:
    await run_to(ground, *range(1, 21))
    early, to = [await cursor_at(ground.store, position) for position in (3, 8)]
    await forget(ground.store, 8)
    for filter in ({}, {"kinds": ["JOB_FINISHED"]}):
        stream = await ground.subscribe(EVENTS_, f=filter, after=early)
        gap = await item(stream)
        assert (gap["__typename"], gap["kind"]) == ("GapEvent", "GAP")
        assert (gap["from"], gap["to"], gap["cursor"]) == (early, to, to)
    await ground.stage.poll([connector()], [job("j", processed=30)])
    assert (await item(stream))["kind"] == "JOB_FINISHED"
    for kept in (8, 12):
        stream = await ground.subscribe(EVENTS_, after=await cursor_at(ground.store, kept))
        assert log_position((await item(stream))["cursor"]) == kept + 1, "nothing is missing after it"


async def test_a_log_that_has_been_emptied_is_a_gap_up_to_its_head(ground: Ground) -> None:
    await run_to(ground, 1, 2, 3)
    head = len(await ground.log())
    end = await cursor_at(ground.store, head)
    await forget(ground.store, head)
    stream = await ground.subscribe(EVENTS_, after=START)
    gap = await item(stream)
    assert (gap["kind"], gap["from"], gap["to"]) == ("GAP", START, end)
    await run_to(ground, 4)
    assert (await item(stream))["processed"] == 4
    fresh = await ground.subscribe(EVENTS_, after=end)
    assert (await item(fresh))["processed"] == 4, "nothing was lost after the head"


async def test_systems_that_are_not_configured_stay_hidden(ground: Ground) -> None:
    await ground.configure("scripted", "hidden")
    one, hidden = ground.stages.values()
    await hidden.poll([connector()], [job("j", status=RUNNING)])
    await ground.configure("scripted")
    await one.poll([connector()])
    stream = await ground.subscribe(EVENTS_, after=START)
    listed = (await ground.ask(PAGE))["events"]["nodes"]
    assert [(await item(stream))["cursor"] for _ in listed] == [node["cursor"] for node in listed]
    await hidden.poll([connector(), connector("b")])
    await one.poll([connector(), connector("b")])
    assert (await item(stream))["connectorId"] == one.connector_id("b")


async def test_each_item_shows_the_present_of_its_own_moment(ground: Ground) -> None:
    """What one item loaded is not what the next one shows."""
    await run_to(ground, 1)
    stream = await ground.subscribe(EVENTS_, f={"kinds": ["JOB_PROGRESSED"]}, after=START)
    for processed in (2, 3, 4):
        await run_to(ground, processed)
        told = await item(stream)
        assert (told["processed"], told["job"]["progress"]["processed"]) == (processed, processed)


async def test_an_error_in_one_item_does_not_end_the_stream(ground: Ground) -> None:
    query = """subscription($after: String) { events(after: $after) {
        cursor ... on JobEvent { processed job { details { __typename } progress { stages { name } } } } } }"""
    await run_to(ground, 1)
    stream = await ground.subscribe(query, after=await cursor_at(ground.store, len(await ground.log())))
    async with ground.store.write() as connection:
        await connection.execute(update(JOBS).values(stages="{"))
    await ground.append([ground.line(2)])
    result = await stream.next()
    (error,) = result["errors"]
    assert error["path"][:2] == ["events", "job"]
    assert "Expecting" not in str(result), "what went wrong is for the log, not for the client"
    async with ground.store.write() as connection:
        await connection.execute(update(JOBS).values(stages=None))
    position = await ground.append([ground.line(3)])
    told = await item(stream)
    assert (log_position(told["cursor"]), told["processed"]) == (position, 3)


# ---- sourceSummaryChanged


async def summaries(stream: Stream, count: int) -> dict[str, Any]:
    """The next ``count`` items by source."""
    found = [await item(stream) for _ in range(count)]
    return {each["source"]: each for each in found}


async def test_summaries_are_shown_as_they_are_then_whenever_one_changes(ground: Ground) -> None:
    slack = connector("b", source="slack", docs_indexed=5)
    await ground.stage.poll([connector(), slack], [])
    stream = await ground.subscribe(SUMMARIES)
    only = await ground.subscribe(SUMMARIES, sources=["slack"])
    present = await summaries(stream, 2)
    assert {source: each["totalConnectors"] for source, each in present.items()} == {"web": 1, "slack": 1}
    assert present["slack"]["connectors"] == {"totalCount": 1, "nodes": [{"name": "Connector b"}]}
    assert (await item(only))["totalDocsIndexed"] == 5
    await ground.stage.poll([connector(), connector("c"), slack])
    changed = await item(stream)
    assert (changed["source"], changed["totalConnectors"]) == ("web", 2)
    assert changed["connectors"]["totalCount"] == 2
    await ground.stage.poll([connector(), connector("c"), connector("b", source="slack", docs_indexed=7)])
    for each in (stream, only):
        changed = await item(each)
        assert (changed["source"], changed["totalDocsIndexed"]) == ("slack", 7)


async def test_what_runs_counts_in_the_summaries(ground: Ground) -> None:
    await ground.stage.poll([connector()])
    stream = await ground.subscribe(SUMMARIES)
    assert (await item(stream))["runningJobs"] == 0
    await run_to(ground, 1)
    assert (await item(stream))["runningJobs"] == 1
    await ground.stage.poll([connector()], [job("j")])
    assert (await item(stream))["runningJobs"] == 0


async def test_a_source_that_vanishes_is_told_as_empty(ground: Ground) -> None:
    slack = connector("b", source="slack")
    await ground.stage.poll([connector(), slack])
    stream = await ground.subscribe(SUMMARIES)
    assert len(await summaries(stream, 2)) == 2
    for _ in range(3):
        await ground.stage.poll([connector()])
    gone = await item(stream)
    assert (gone["source"], gone["totalConnectors"], gone["activeConnectors"]) == ("slack", 0, 0)
    assert gone["connectors"] == {"totalCount": 0, "nodes": []}
    await ground.stage.poll([connector(), connector("c", source="slack")])
    back = await item(stream)
    assert (back["source"], back["totalConnectors"]) == ("slack", 1)


async def test_growing_stale_is_a_change_though_nothing_is_logged(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_CLOCK_INTERVAL", 0.5)
    await ground.stage.poll([connector()])
    stream = await ground.subscribe(SUMMARIES)
    assert (await item(stream))["staleConnectors"] == 0
    await ground.configure("scripted", stale_after=2.0)
    head = len(await ground.log())
    assert (await item(stream))["staleConnectors"] == 1
    assert len(await ground.log()) == head
    fresh = asyncio.create_task(item(stream))
    while not fresh.done():
        await ground.stage.poll([connector()])
        await asyncio.wait([fresh], timeout=0.2)
    assert fresh.result()["staleConnectors"] == 0
    assert len(await ground.log()) == head


async def test_many_changes_at_once_are_few_items(ground: Ground) -> None:
    await ground.stage.poll([connector()])
    streams = [stream async for stream in each(ground, SUMMARIES)]
    for stream in streams:
        await item(stream)
    last = 60
    for n in range(1, last + 1):
        await ground.stage.poll([connector(docs_indexed=n)])
    for stream in streams:
        counts = [(await item(stream))["totalDocsIndexed"]]
        while counts[-1] != last:
            counts.append((await item(stream))["totalDocsIndexed"])
        assert counts == sorted(counts)
        assert len(counts) < last


async def test_unknown_sources_are_shown_once_they_are_there(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_CLOCK_INTERVAL", 3600.0)  # only the log tells, also of what happens while it begins
    await ground.stage.poll([connector()])
    streams = [stream async for stream in each(ground, SUMMARIES, sources=["slack"])]
    await ground.stage.poll([connector(), connector("b", source="slack")])
    for stream in streams:

        async def shown(stream: Stream = stream) -> bool:
            told = await item(stream)
            return bool(told["source"] == "slack" and told["totalConnectors"] == 1)

        await until(shown)


# ---- what one transport alone has


async def test_an_event_stream_goes_on_from_the_id_of_its_last_event(store_url: str) -> None:
    async with grounds(store_url, "sse") as ground:
        await run_to(ground, *range(1, 8))
        client = SseClient(ground.session, ground.url)
        ground.listeners.append(client)
        first = await client.subscribe(EVENTS_, {"after": START}, method="GET")
        told = [await item(first) for _ in range(4)]
        assert first.last_event_id == told[-1]["cursor"]
        await first.leave()
        # a browser that comes back sends the same address again: what it says of the beginning is out of date
        second = await client.subscribe(EVENTS_, {"after": START}, method="GET", last_event_id=first.last_event_id)
        rows = await ground.log()
        told += [await item(second) for _ in rows[4:]]
        assert [log_position(each["cursor"]) for each in told] == [row.position for row in rows]
        job_id = ground.stage.job_id("j")
        quiet = await client.subscribe(PROGRESS, {"id": job_id}, last_event_id=await cursor_at(ground.store, len(rows)))
        await run_to(ground, 9)
        assert (await item(quiet))["processed"] == 9


async def test_subscriptions_share_a_socket_and_end_by_themselves(store_url: str) -> None:
    async with grounds(store_url, "websocket") as ground:
        await ground.stage.poll([connector()], [job(str(n), status=RUNNING, processed=n) for n in range(20)])
        async with await SocketClient.connect(ground.session, ground.url) as client:
            ids = [ground.stage.job_id(str(n)) for n in range(20)]
            streams = [await client.subscribe(PROGRESS, {"id": id}) for id in ids]
            log = await client.subscribe(EVENTS_)
            assert [(await item(stream))["processed"] for stream in streams] == list(range(20))
            await ground.stage.poll([connector()], [job(str(n), processed=100 + n) for n in range(20)])
            for n, stream in enumerate(streams):
                (last,) = await rest(stream)
                assert (last["kind"], last["processed"]) == ("JOB_FINISHED", 100 + n)
            answer = await client.subscribe("{ systems { name } }")
            assert await rest(answer) == [[{"name": "scripted"}]]
            assert (await item(log))["kind"]
