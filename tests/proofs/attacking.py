"""Attacks on a gateway, in a process of their own: ``python -m tests.proofs.attacking HOST PORT ADDRESS``. It reads
lines "NAME SECONDS" and answers each with a line, once the attack is over and all of its connections are closed.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache

from tests.live.test_frames import PING, TEXT, frame

#: Where the gateway is, and the address that attackers come from.
HOST, PORT, ADDRESS = "127.0.0.1", 0, "127.0.0.1"
_JSON = b"Content-Type: application/json\r\n"
_UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
_INIT = frame(TEXT, b'{"type":"connection_init"}')
_COSTLY = "connectors(first: 1000) { nodes { id name jobs(first: 20) { nodes { id status errorMessage } } } }"


def head(method: str, path: str, more: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + more + b"\r\n"


def post(query: str, more: bytes = b"", **parameters: object) -> bytes:
    body = json.dumps({"query": query, **parameters}).encode()
    return head("POST", "/graphql", _JSON + more + b"Content-Length: %d\r\n" % len(body)) + body


def operation(id: str, query: str, **variables: object) -> bytes:
    message = {"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}}
    return frame(TEXT, json.dumps(message).encode())


class Attacker:
    """One connection."""

    def __init__(self, found: socket.socket) -> None:
        self._socket = found

    @classmethod
    async def connect(cls, sent: bytes = b"") -> "Attacker":
        found = socket.socket()
        try:
            found.setblocking(False)
            found.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports for many
            found.bind((ADDRESS, 0))
            await asyncio.get_running_loop().sock_connect(found, (HOST, PORT))
            made = cls(found)
            await made.send(sent)
        except BaseException:
            found.close()
            raise
        return made

    async def send(self, sent: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, sent)

    async def read(self) -> bytes:
        """What comes next. Raises ConnectionError at the end."""
        if not (found := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 18)):
            raise ConnectionResetError
        return found

    async def answer(self) -> None:
        """Read a whole answer, of those that say how long they are."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self.read()
        begin, _, body = received.partition(b"\r\n\r\n")
        for line in begin.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                left = int(line.partition(b":")[2]) - len(body)
                while left > 0:
                    left -= len(await self.read())

    def close(self) -> None:
        self._socket.close()


Turn = Callable[[Attacker], Awaitable[None]]


async def _again(begin: Callable[[], bytes], turn: Turn) -> None:
    """One connection after the other, and on each ``turn`` again and again."""
    while True:
        attacker = None
        try:
            with contextlib.suppress(OSError):
                attacker = await Attacker.connect(begin())
                while True:
                    await turn(attacker)
        finally:
            if attacker is not None:
                attacker.close()
        await asyncio.sleep(0.001)


async def _rest(_: Attacker) -> None:
    await asyncio.Event().wait()


async def _watch(attacker: Attacker) -> None:
    await attacker.read()


async def _end(attacker: Attacker) -> None:
    raise ConnectionResetError


def asking(request: Callable[[], bytes]) -> Turn:
    """Send it, wait for the answer."""

    async def turn(attacker: Attacker) -> None:
        await attacker.send(request())
        await attacker.answer()

    return turn


def sending(data: bytes, every: float = 0.0) -> Turn:
    """Send it, and read nothing."""

    async def turn(attacker: Attacker) -> None:
        await attacker.send(data)
        await asyncio.sleep(every)

    return turn


def flooding(data: bytes) -> Turn:
    """Send it, and read whatever comes meanwhile."""

    async def turn(attacker: Attacker) -> None:
        reading = asyncio.ensure_future(_drain(attacker))
        try:
            while True:
                await attacker.send(data)
                if reading.done():
                    raise ConnectionResetError
                await asyncio.sleep(0)
        finally:
            reading.cancel()

    return turn


async def _drain(attacker: Attacker) -> None:
    with contextlib.suppress(OSError):
        while True:
            await attacker.read()


def nothing() -> bytes:
    return b""


def socket_with(*frames: bytes) -> Callable[[], bytes]:
    return lambda: head("GET", "/graphql", _UPGRADE) + _INIT + b"".join(frames)


# ---- what is sent


def fan_out() -> bytes:
    spread = "latestJob{{connector{{...f{}}}}}"
    levels = (f"fragment f{n} on Connector{{a:{spread.format(n + 1)}b:{spread.format(n + 1)}}}" for n in range(8))
    return post("{connectors(first:1){nodes{...f0}}}" + "".join(levels) + "fragment f8 on Connector{id}")


def equal_fields() -> bytes:
    return post("{" + "connectors(first:1){nodes{id}} " * 2_000 + "}")


def aliases() -> bytes:
    return post("{" + " ".join(f"a{n}: {_COSTLY}" for n in range(100)) + "}")


@cache
def bomb(megabytes: int = 256) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(megabytes)) + packer.flush()
    more = _JSON + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(packed)
    return head("POST", "/graphql", more) + packed


@cache
def deep() -> bytes:
    body = b'{"query":"{__typename}","variables":{"a":' + b"[" * 1_000_000
    return head("POST", "/graphql", _JSON + b"Content-Length: %d\r\n" % len(body)) + body


@cache
def cookies() -> bytes:
    return head("GET", "/graphql?query={__typename}", b"Cookie: a=" + b"x" * 32_000 + b"\r\n")


@cache
def long_query() -> bytes:
    return head("GET", "/graphql?query={" + "a:__typename%20" * 2_000 + "}")


@cache
def huge_variables() -> bytes:
    return post("query($a:ID!){node(id:$a){id}}", variables={"a": "x", "b": [{"c": n} for n in range(80_000)]})


@cache
def chunks() -> bytes:
    chunk = b"1;" + b"x" * 1_000 + b"\r\n \r\n"
    return head("POST", "/graphql", _JSON + b"Transfer-Encoding: chunked\r\n") + chunk * 200


@cache
def costly_subscriptions() -> bytes:
    fields = [" ".join(f"a{n}_{k}: kind" for k in range(100)) for n in range(50)]
    operations = [operation(str(n), f"subscription {{ events {{ cursor {each} }} }}") for n, each in enumerate(fields)]
    return head("GET", "/graphql", _UPGRADE) + _INIT + b"".join(operations)


@cache
def huge_subscriptions() -> bytes:
    padding = "x" * 500_000
    operations = [operation(str(n), "subscription { events { cursor } }", padding=f"{n}{padding}") for n in range(20)]
    return head("GET", "/graphql", _UPGRADE) + _INIT + b"".join(operations)


def many_costly() -> bytes:
    return b"".join(operation(str(n), f"{{ a{n}: {_COSTLY} }}") for n in range(50))


def cursors() -> bytes:
    return post(
        "{ events(first: 1000) { edges { cursor node { at ... on JobEvent { job { id connector { name } } } } } } }"
    )


_LARGE = "{" + " ".join(f"a{n}: errorMessage b{n}: id" for n in range(3)) + "}"
_LARGE_ANSWER = f"{{ jobs(first: 1000) {{ nodes {_LARGE} }} }}"
_STREAM = post("subscription { events(after: null) { cursor kind } }", b"Accept: text/event-stream\r\n")
_LONG_BODY = head("POST", "/graphql", _JSON + b"Content-Length: 1000000\r\n")
_FRAGMENT = bytes([0, 0x80, 0, 0, 0, 0])
_PARTIAL = frame(TEXT, b'{"type":"' + b"x" * 1_000_000)[:-1]
_TEXT_PING = frame(TEXT, b'{"type":"ping"}')
_DEFLATED = bytes([0xC1]) + frame(TEXT, zlib.compress(b" " * 1_000_000))[1:]

#: Of each attack how many connections, what each begins with, and what it does then.
ATTACKS: Mapping[str, tuple[int, Callable[[], bytes], Turn]] = {
    "fragments that fan out": (4, nothing, asking(fan_out)),
    "2,000 equal fields": (4, nothing, asking(equal_fields)),
    "50 costly queries on one WebSocket": (1, socket_with(many_costly()), _watch),
    "compressed bombs": (4, nothing, asking(bomb)),
    "slow headers": (400, lambda: head("GET", "/graphql")[:-2], sending(b"a: b\r\n", 0.5)),
    "slow bodies": (300, lambda: _LONG_BODY + b"{", sending(b" ", 0.5)),
    "bodies without an end": (300, lambda: _LONG_BODY + b" " * 999_000, _rest),
    "silent connections": (3_000, nothing, _rest),
    "half-open ones": (500, lambda: head("GET", "/graphql?query={__typename}"), _rest),
    "answers that nobody reads": (100, lambda: post(_LARGE_ANSWER) * 8, _rest),
    "streams that nobody reads": (200, lambda: _STREAM, _rest),
    "a flood of connections": (50, nothing, _end),
    "a flood of requests": (50, nothing, asking(lambda: head("GET", "/nowhere"))),
    "huge cookies": (20, nothing, asking(cookies)),
    "aliases of costly lists": (4, nothing, asking(aliases)),
    "deep JSON": (4, nothing, asking(deep)),
    "huge variables": (4, nothing, asking(huge_variables)),
    "queries of 32 kB by GET": (8, nothing, asking(long_query)),
    "old events": (8, nothing, asking(cursors)),
    "OPTIONS": (50, nothing, asking(lambda: head("OPTIONS", "/graphql"))),
    "pipelining": (20, nothing, flooding(head("GET", "/graphql?query={__typename}") * 50)),
    "chunks with extensions": (20, nothing, flooding(chunks())),
    "sockets without a word": (1_000, lambda: head("GET", "/graphql", _UPGRADE), _rest),
    "pings": (20, socket_with(), flooding(frame(PING, b"") * 1_000)),
    "tiny fragments": (20, socket_with(bytes([TEXT, 0x80, 0, 0, 0, 0])), flooding(_FRAGMENT * 1_000)),
    "many small messages": (20, socket_with(), flooding(_TEXT_PING * 500)),
    "messages without an end": (300, socket_with(_PARTIAL), _rest),
    "deflated frames": (20, socket_with(_DEFLATED), _watch),
    "costly subscriptions": (20, costly_subscriptions, _watch),
    "huge subscriptions": (20, huge_subscriptions, _watch),
}


#: Those of well-formed queries that come to some 60,000 values each: executing one holds the loop for 0.1 to 0.3 s at a
#: time, and two are executed at once.
COSTLY = ("old events", "aliases of costly lists")


async def attack(name: str, seconds: float) -> None:
    many, begin, turn = ATTACKS[name]
    attackers = [asyncio.create_task(_again(begin, turn)) for _ in range(many)]
    await asyncio.sleep(seconds)
    for each in attackers:
        each.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main() -> None:
    loop = asyncio.get_running_loop()
    bomb()
    _say("ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, _, seconds = line.strip().rpartition(" ")
        await attack(name, float(seconds))
        _say("over")


if __name__ == "__main__":
    HOST, PORT, ADDRESS = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.nice(5)  # who is measured beside it shall not wait for this processor
    asyncio.run(main())
