"""Any number of graphql-transport-ws clients in one process, each on a socket of its own, that take note of what comes.

Obeys ``connect``, ``come_back``, ``check`` and ``close``, see ``Crowd``. RFC 6455 and the protocol are spoken by hand:
a client that takes longer than the server would be measured instead of it. What a client gets is only stamped and kept;
it is read when nothing more comes.
"""

import asyncio
import base64
import contextlib
import gc
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle
from statistics import fmean
from typing import Any
from uuid import uuid4

from programs import allow_many_files, obey

#: Sockets that are being opened at the same time; fewer than the servers' backlog.
_AT_ONCE = 64
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
#: Seconds that a crowd that comes back may take.
_PATIENCE = 120.0
#: Seconds that remain for results that nobody is owed.
_SURPLUS = 0.2
#: Faults that are told, at most.
_SHOWN = 20
#: [subject, cursor, monotonic nanoseconds], as a server tells of its events
Event = tuple[str, str, int]


class Client(asyncio.Protocol):
    """One socket with one subscription. ``got``: when each result came, and its frame."""

    def __init__(self, crowd: "Crowd", host: str, subject: str, query: str, after: str | None = None) -> None:
        self._crowd, self._host, self._query = crowd, host, query
        self.subject, self.after, self.id = subject, after, str(uuid4())
        self.got: list[tuple[int, bytes]] = []
        self.ended: str | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._is_upgraded = self._is_acknowledged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._buffer += data
        if not self._is_upgraded:
            self._upgrade()
        for opcode, payload in self._frames():
            if opcode == _TEXT and self._is_acknowledged:
                self.got.append((now, payload))
                self._crowd.hear()
                if not self.opened.done():
                    self.opened.set_result(None)
            elif opcode == _TEXT:
                self._acknowledged(json.loads(payload))
            elif opcode == _PING:
                self._send(_PONG, payload)
            elif opcode == _CLOSE:
                self._end(f"closed: {payload!r}")

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"lost: {error!r}")

    def _upgrade(self) -> None:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self._end(f"no upgrade: {head + rest!r}")
            return
        self._is_upgraded, self._buffer = True, bytearray(rest)
        self._send(_TEXT, b'{"type":"connection_init"}')

    def _acknowledged(self, answer: Any) -> None:
        if answer["type"] != "connection_ack":
            self._end(f"no acknowledgement: {answer}")
            return
        self._is_acknowledged = True
        payload = {"query": self._query, "variables": {"job": self.subject, "after": self.after}}
        self._send(_TEXT, json.dumps({"id": self.id, "type": "subscribe", "payload": payload}).encode())

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Whole frames; servers do not mask, and none here sends one message in several."""
        buffer = self._buffer
        while self._is_upgraded and len(buffer) >= 2:
            start, length = 2, buffer[1]
            if length > 125:
                start = 4 if length == 126 else 10
                length = int.from_bytes(buffer[2:start])
            if len(buffer) < start + length or len(buffer) < start:
                return
            opcode, payload = buffer[0] & 0xF, bytes(buffer[start : start + length])
            del buffer[: start + length]
            yield opcode, payload

    def _send(self, opcode: int, payload: bytes) -> None:
        """Masked, as clients have to, by a mask that changes nothing."""
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2)
        self.transport.write(bytes([0x80 | opcode]) + size + bytes(4) + payload)

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(reason))


class Crowd:
    """All clients of this process."""

    def __init__(self) -> None:
        self._clients: list[Client] = []
        self._received = self._wanted = 0
        self._complete = asyncio.Event()

    async def connect(self, port: int, sockets: int, query: str, subjects: Sequence[str]) -> float:
        """Open further sockets that subscribe with ``{"job": SUBJECT}``, one subject after the other. Answers with the
        seconds until each has its opening result, which is not among those that are checked."""
        begun = time.monotonic()
        turn = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def open_one(subject: str) -> None:
            async with turn:
                client = Client(self, f"127.0.0.1:{port}", subject, query)
                await loop.create_connection(lambda: client, "127.0.0.1", port)
                await client.opened
                self._clients.append(client)

        await asyncio.gather(*(open_one(subject) for _, subject in zip(range(sockets), cycle(subjects), strict=False)))
        self._forget()
        return time.monotonic() - begun

    async def come_back(self, port: int, query: str, after: Sequence[str], cursors: Sequence[str]) -> dict[str, Any]:
        """Open a socket for each of ``after``, all at once, that subscribes from there on. Answers with the seconds
        until each has all of ``cursors`` that follow on its own, and with who has not got them once, in order."""
        places = {cursor: place for place, cursor in enumerate(cursors, 1)}
        self._wanted = sum(len(cursors) - places.get(each, 0) for each in after)
        self._received = 0
        self._complete.clear()
        begun, turn, loop = time.monotonic(), asyncio.Semaphore(_AT_ONCE), asyncio.get_running_loop()

        async def open_one(cursor: str) -> None:
            async with turn:
                client = Client(self, f"127.0.0.1:{port}", "", query, cursor)
                await loop.create_connection(lambda: client, "127.0.0.1", port)
                self._clients.append(client)

        await asyncio.gather(*(open_one(cursor) for cursor in after))
        await asyncio.wait_for(self._complete.wait(), _PATIENCE)
        seconds = time.monotonic() - begun
        await asyncio.sleep(_SURPLUS)
        faults = [
            f"after {client.after}: {got}"
            for client in self._clients
            if (got := [_cursor(client.id, frame) for _, frame in client.got])
            != [*cursors[places.get(client.after or "", 0) :]]
        ]
        return {"seconds": seconds, "received": self._received, "faults": faults[:_SHOWN], "faulty": len(faults)}

    async def check(self, events: Sequence[Event], within: float) -> dict[str, Any]:
        """Wait until everybody has what they are owed, for so many seconds; then read it and forget it.

        ``faults``: who did not get every event of their subject once, in order, and nothing else. ``latencies``: in ms.
        """
        owed: dict[str, list[str]] = defaultdict(list)
        for subject, cursor, _ in events:
            owed[subject].append(cursor)
        wanted = sum(len(owed[client.subject]) for client in self._clients)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._heard(wanted)
        await asyncio.sleep(_SURPLUS)
        report = self._read(owed, {cursor: at for _, cursor, at in events})
        self._forget()
        return {"wanted": wanted, **report}

    def hear(self) -> None:
        """A result has come."""
        self._received += 1
        if self._received == self._wanted:
            self._complete.set()

    async def _heard(self, wanted: int) -> None:
        if self._received < wanted:
            self._wanted = wanted
            self._complete.clear()
            await self._complete.wait()

    def _read(self, owed: dict[str, list[str]], sent: dict[str, int]) -> dict[str, Any]:
        faults, late, sizes, last = [], [], [], 0
        for client in self._clients:
            cursors = []
            for at, frame in client.got:
                cursor = _cursor(client.id, frame)
                cursors.append(cursor)
                sizes.append(len(frame))
                last = max(last, at)
                if cursor in sent:
                    late.append((at - sent[cursor]) / 1e6)
            if cursors != owed[client.subject] or client.ended:
                fault = f"{cursors}, not {owed[client.subject]}" if cursors != owed[client.subject] else client.ended
                faults.append(f"{client.subject}: {fault}")
        late.sort()
        latencies = {str(share): late[int(share * (len(late) - 1))] for share in (0.5, 0.99, 1.0)} if late else {}
        return {
            "received": len(sizes), "bytes": fmean(sizes or [0]), "last": last, "latencies": latencies,
            "faults": faults[:_SHOWN], "faulty": len(faults),
        }  # fmt: skip

    def _forget(self) -> None:
        self._received = 0
        for client in self._clients:
            client.got.clear()

    async def close(self) -> None:
        """Lose all sockets."""
        for client in self._clients:
            client.transport.abort()
        self._clients.clear()
        await asyncio.sleep(0)


def _cursor(id: str, frame: bytes) -> str:
    """Of the one item that a result holds; what is anything else is told instead."""
    message = json.loads(frame)
    if message["type"] != "next" or message["id"] != id or "errors" in message["payload"]:
        return f"unexpected: {frame.decode()}"
    (item,) = message["payload"]["data"].values()
    cursor: str = item["cursor"]
    return cursor


async def _main() -> None:
    crowd = Crowd()
    await obey({"connect": crowd.connect, "come_back": crowd.come_back, "check": crowd.check, "close": crowd.close})


if __name__ == "__main__":
    allow_many_files()
    # a collection that stops this process would look like a server that is late
    gc.disable()
    sys.exit(asyncio.run(_main()))
