"""An empty cursor is none: who resumes with what it has not got yet begins as if it had said nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.cursors import START, log_position
from tests.facts import connector, job
from tests.live.client import SseClient, item
from tests.live.ground import Ground, grounds
from tests.live.test_feeds import EVENTS_, PROGRESS, RUNNING, each, run_to


@pytest.fixture
async def ground(store_url: str) -> AsyncIterator[Ground]:
    async with grounds(store_url) as found:
        yield found


async def only_news(ground: Ground, *firsts: "asyncio.Task[Any]", past: int) -> None:
    """What each is given first is told while we wait, and did not lie in the past."""
    processed = 2
    while not all(first.done() for first in firsts):
        await run_to(ground, processed)
        processed += 1
    assert all(log_position(first.result()["cursor"]) > past for first in firsts)


async def test_events_without_a_cursor_begin_now(ground: Ground) -> None:
    await run_to(ground, 1)
    past = len(await ground.log())
    variable = [asyncio.create_task(item(stream)) async for stream in each(ground, EVENTS_, after="")]
    literal = EVENTS_.replace(", $after: String", "").replace("after: $after", 'after: ""')
    written = [asyncio.create_task(item(stream)) async for stream in each(ground, literal)]
    await only_news(ground, *variable, *written, past=past)


async def test_a_job_without_a_cursor_is_shown_as_it_is(ground: Ground) -> None:
    await ground.stage.poll([connector()], [job("j", status=RUNNING, processed=7)])
    stream = await ground.subscribe(PROGRESS, id=ground.stage.job_id("j"), after="")
    assert (await item(stream))["processed"] == 7


async def test_an_empty_last_event_id_leaves_the_word_to_after(sqlite_url: str) -> None:
    async with grounds(sqlite_url, "sse") as ground:
        await run_to(ground, 1)
        past = len(await ground.log())
        client = SseClient(ground.session, ground.url)
        ground.listeners.append(client)
        replayed = await client.subscribe(EVENTS_, {"after": START}, last_event_id="")
        assert log_position((await item(replayed))["cursor"]) == 1
        news = await client.subscribe(EVENTS_, {"after": ""}, last_event_id="")
        await only_news(ground, asyncio.create_task(item(news)), past=past)
