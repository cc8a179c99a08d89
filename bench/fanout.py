"""What a live event costs that everybody watches: the gateway against plain Strawberry, on this machine in this run.

``python bench/fanout.py --sockets 1000 --events 20``. Each server is a process of its own with the default event loop,
the sockets are another process. Rounds alternate, each with a fresh server that has been warmed up: so many sockets
subscribe to one job, it moves so many times, everybody gets everything. Prints µs of processor time for each delivered
message (the whole server process: commits, log and store included), KiB of memory for each subscriber, and the ratios.
The status is 1 when a subscriber did not get every event once and in order, else 0, whatever the figures are.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from meters import say
from programs import Program, program
from progress import QUERY

#: Times less processor time than plain Strawberry, and KiB for each subscriber.
_RATIO, _KIB = 15.0, 20.0
#: Sockets and events before anything is measured.
_WARM_SOCKETS, _WARM_EVENTS = 20, 20
#: Seconds until memory has settled, and that deliveries may take.
_SETTLED, _DELIVERED = 1.0, 120.0


@dataclass(frozen=True)
class Cost:
    """One round of one server."""

    #: µs of processor time for each message
    processor: float
    #: what of it the same events take that nobody is subscribed to
    unheard: float
    #: KiB for each subscriber
    memory: float
    #: seconds until all were delivered, since the first commit
    delivered: float
    #: seconds until all were subscribed
    connected: float
    #: of a message
    bytes: float
    faults: tuple[str, ...]


@asynccontextmanager
async def ours(loop: str) -> AsyncIterator[Program]:
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"jobs": 1, "store": f"sqlite:///{Path(folder) / 'store.db'}"}
        async with program("live_gateway.py", json.dumps(wanted), loop) as server:
            yield server


def plain(loop: str) -> AbstractAsyncContextManager[Program]:
    return program("plain.py", loop)


SERVERS = {"ours": ours, "plain": plain}


async def measure(name: str, sockets: int, events: int, loop: str) -> Cost:
    """One round."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SERVERS[name](loop))
        crowd = await stack.enter_async_context(program("subscribers.py"))
        begun = await server.do("begin")

        async def connect(number: int) -> float:
            seconds: float = await crowd.do("connect", sockets=number, query=QUERY, **begun)
            return seconds

        async def deliver(times: int) -> dict[str, Any]:
            published = await server.do("publish", times=times, moving=1)
            report: dict[str, Any] = await crowd.do("check", events=published, within=_DELIVERED)
            return {**report, "first": published[0][2]}

        await connect(_WARM_SOCKETS)
        warm = await deliver(_WARM_EVENTS)
        await crowd.do("close")
        await asyncio.sleep(_SETTLED)
        alone = await server.do("weigh")
        await deliver(events)
        before = await server.do("weigh")
        connected = await connect(sockets)
        await asyncio.sleep(_SETTLED)
        idle = await server.do("weigh")
        report = await deliver(events)
        after = await server.do("weigh")
    return Cost(
        processor=(after["seconds"] - idle["seconds"]) * 1e6 / max(1, report["received"]),
        unheard=(before["seconds"] - alone["seconds"]) * 1e6 / max(1, report["received"]),
        memory=(idle["megabytes"] - before["megabytes"]) * 1e6 / 1024 / sockets,
        delivered=(report["last"] - report["first"]) / 1e9,
        connected=connected,
        bytes=report["bytes"],
        faults=tuple(warm["faults"] + report["faults"]),
    )


async def compare(sockets: int, events: int, rounds: int, loop: str) -> list[str]:
    """Everything that was not delivered as it should be."""
    costs: dict[str, list[Cost]] = {name: [] for name in SERVERS}
    for number in range(rounds):
        for name in SERVERS:
            cost = await measure(name, sockets, events, loop)
            costs[name].append(cost)
            say(
                f"round {number + 1}, {name}: {cost.processor:.1f} µs a message "
                f"({cost.unheard:.1f} without any subscriber), {cost.memory:.1f} KiB a subscriber, "
                f"delivered in {cost.delivered:.2f} s, connected in {cost.connected:.2f} s, {cost.bytes:.0f} bytes"
            )
    _conclude({name: _middle(measured) for name, measured in costs.items()})
    return [f"{name}: {fault}" for name, measured in costs.items() for cost in measured for fault in cost.faults]


def _middle(costs: list[Cost]) -> dict[str, float]:
    return {
        field.name: median(getattr(cost, field.name) for cost in costs)
        for field in fields(Cost)
        if field.name != "faults"
    }


def _conclude(middle: Mapping[str, Mapping[str, float]]) -> None:
    mine, theirs = middle["ours"], middle["plain"]
    ratio = theirs["processor"] / max(mine["processor"], 1e-9)
    say(
        f"processor: {mine['processor']:.1f} µs against {theirs['processor']:.1f} µs a message, "
        f"{ratio:.1f} times less (goal: {_RATIO:g})"
    )
    say(
        f"memory: {mine['memory']:.1f} KiB against {theirs['memory']:.1f} KiB a subscriber, "
        f"{theirs['memory'] / max(mine['memory'], 1e-9):.1f} times less (goal: at most {_KIB:g} KiB)"
    )
    say(
        f"all delivered in {mine['delivered']:.2f} s against {theirs['delivered']:.2f} s, "
        f"{theirs['delivered'] / max(mine['delivered'], 1e-9):.1f} times sooner"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="uvloop has to be installed")
    wanted = parser.parse_args()
    say(f"{wanted.sockets} sockets, {wanted.events} events, {wanted.rounds} rounds, {wanted.loop}")
    found = asyncio.run(compare(**vars(wanted)))
    for line in found:
        say(f"  {line}")
    say(f"not delivered as it should be: {len(found)}" if found else "everybody got everything, once and in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
