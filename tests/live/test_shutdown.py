"""A gateway that is stopped sends its clients away to come back, and does not wait for those who do not listen."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.live.client import Lost, SocketClient, SseClient, item
from tests.live.narrow import MESSAGE, narrow_clients
from tests.live.running import EVENTS, PROGRESS, job_id, running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Lives longer than the gateway."""
    async with aiohttp.ClientSession() as found:
        yield found


def actions(caplog: pytest.LogCaptureFixture) -> set[str | None]:
    return {getattr(record, "action", None) for record in caplog.records}


async def test_everybody_is_sent_away_to_resume_elsewhere(
    store_url: str, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store_url) as gateway:
        url = gateway.client.url
        sockets = [await SocketClient.connect(session, url) for _ in range(3)]
        streams = [await sockets[n].subscribe(PROGRESS, {"id": job_id()}) for n in (0, 1)]
        events = SseClient(session, url)
        streams.append(await events.subscribe(PROGRESS, {"id": job_id()}))
        for each in streams:
            assert (await item(each))["processed"] == 1
        silent = await events.subscribe(EVENTS)
    assert not any(gateway.held().values())
    for socket in sockets:
        with pytest.raises(Lost) as caught:
            await socket.receive()
        assert (caught.value.code, "resume by cursor" in caught.value.reason) == (1001, True)
    for stream in (streams[2], silent):
        with pytest.raises(Lost):
            await stream.next()
    await events.close()
    assert "serving.stop_cut_short" not in actions(caplog)


async def test_who_does_not_read_delays_nobody(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with narrow_clients() as narrow:
        async with running(sqlite_url) as gateway:
            url = gateway.client.url
            for transport in ("websocket", "sse") * 3:
                await narrow.stuck(url, transport)
            reader = await SocketClient.connect(gateway.client.session, url)
            stream = await reader.subscribe(PROGRESS, {"id": job_id()})
            for n in range(1, 6):
                gateway.go("j", n, error_message=MESSAGE)
                while (await item(stream))["processed"] < n:
                    pass
            await reader.close()
        assert not any(gateway.held().values())
        assert "serving.stop_cut_short" not in actions(caplog)
