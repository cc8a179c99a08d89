"""Frames of WebSockets below the messages: those of a client are masked, or the connection ends (RFC 6455 §5.1)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from connectory.live.protocol import PROTOCOL
from connectory.web.frames import MaskedFrames
from tests.api.gateway import Client, served
from tests.api.stand_in import STAND_IN

TEXT, PING, PONG, CLOSE = 0x1, 0x9, 0xA, 0x8
PINGED = b'{"type":"ping"}'
MASK = b"\x01\x02\x03\x04"


def frame(kind: int, payload: bytes, *, masked: bool = True) -> bytes:
    """One frame as it is sent."""
    size, flag = len(payload), 0x80 if masked else 0
    if size < 126:
        length = bytes([flag | size])
    else:
        mark, room = (126, 2) if size < 1 << 16 else (127, 8)
        length = bytes([flag | mark]) + size.to_bytes(room, "big")
    if masked:
        payload = MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))
    return bytes([0x80 | kind]) + length + payload


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[Client]:
    async with served(sqlite_url, STAND_IN) as found:
        yield found


class Peer:
    """The bare bytes of one WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, client: Client, along: bytes = b"") -> "Peer":
        """``along``: frames that are sent before the upgrade is answered."""
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            b"Sec-WebSocket-Protocol: " + PROTOCOL.encode() + b"\r\n\r\n" + along
        )
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return cls(reader, writer)

    def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))

    async def receive(self) -> tuple[int, bytes]:
        """Kind and payload of the next frame, which is short."""
        async with asyncio.timeout(10):
            kind, size = await self._reader.readexactly(2)
            return kind & 0xF, await self._reader.readexactly(size)

    def close(self) -> None:
        self._writer.close()


BROKEN_PROTOCOL = (CLOSE, (1002).to_bytes(2, "big"))
UNMASKED = {
    "text": frame(TEXT, PINGED, masked=False),
    "ping": frame(PING, b"", masked=False),
    "medium": frame(TEXT, PINGED.ljust(200), masked=False),
    "long": frame(TEXT, PINGED.ljust(70_000), masked=False),
}


@pytest.mark.parametrize("sent", UNMASKED.values(), ids=UNMASKED)
async def test_an_unmasked_frame_ends_the_connection(client: Client, sent: bytes) -> None:
    peer = await Peer.connect(client)
    peer.send(sent)
    assert await peer.receive() == BROKEN_PROTOCOL
    peer.close()


async def test_what_came_before_it_is_answered(client: Client) -> None:
    peer = await Peer.connect(client)
    peer.send(frame(PING, b"a"), frame(TEXT, PINGED), frame(PING, b"b", masked=False), frame(PING, b"c"))
    assert await peer.receive() == (PONG, b"a")
    assert await peer.receive() == (TEXT, b'{"type":"pong"}')
    assert await peer.receive() == BROKEN_PROTOCOL
    peer.close()


async def test_it_ends_the_connection_when_it_comes_with_the_upgrade(client: Client) -> None:
    peer = await Peer.connect(client, frame(PING, b"a", masked=False))
    assert await peer.receive() == BROKEN_PROTOCOL
    peer.close()


class Taken:
    """Stands for aiohttp's reader."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1 << 20])
def test_masked_frames_pass_however_they_are_cut(step: int) -> None:
    frames = b"".join(frame(TEXT, b"x" * size) for size in (0, 1, 125, 126, 127, 70_000, 0))
    odd = frame(TEXT, b"x" * 200, masked=False)
    taken: Any = Taken()
    masked, sent = MaskedFrames(taken), frames + odd + frames
    ends = [masked.feed_data(sent[place : place + step])[0] for place in range(0, len(sent), step)]
    assert taken.data[: len(frames)] == frames
    assert len(taken.data) == len(frames) + 2, "the reader is told that the protocol was broken, and no more"
    assert ends[-1] or step > len(sent)
