"""Ten thousand subscribers that have nothing to do on one gateway, and then what becomes of events for them.

``python bench/idle.py --sockets 10000 --jobs 100``: the gateway in a process of its own, the sockets in another, each
subscribed to one of the jobs. Prints memory for each subscriber and the processor time while nothing happens. Then
100 jobs move: in five commits one after the other, as looks at five systems find them, then all of them in each commit,
as if they were one system's, and once more in commits of their own.
Prints milliseconds from the commit to the client. The status is 1 when a subscriber did not get every event once and in
order, else 0, whatever the figures are.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meters import say
from programs import Program, program
from progress import QUERY

#: Milliseconds of the slowest in a hundred, and KiB for each subscriber.
_MS, _KIB = 250.0, 20.0
#: Systems over which the moving jobs are spread at first.
_SYSTEMS = 5
#: Sockets and commits before anything is measured.
_WARM_SOCKETS, _WARM_COMMITS = 20, 10
#: Seconds until memory has settled, and that deliveries may take.
_SETTLED, _DELIVERED = 1.0, 120.0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to measure; ``seconds`` of idleness, ``every`` so many seconds a commit."""

    sockets: int
    jobs: int
    moving: int
    seconds: float
    commits: int
    every: float
    store: str | None
    loop: str


class Audience:
    """Server and clients, once everybody is there."""

    def __init__(self, server: Program, crowd: Program, wanted: Wanted) -> None:
        self._server, self._crowd, self._wanted = server, crowd, wanted
        self.found: list[str] = []

    async def come(self) -> None:
        """Warm up, then subscribe everybody; tells of memory."""
        begun = await self._server.do("begin")
        await self._crowd.do("connect", sockets=min(_WARM_SOCKETS, self._wanted.sockets), query=QUERY, **begun)
        await self._deliver("warm-up", _WARM_COMMITS, min(10, self._wanted.moving), 0.0)
        await self._crowd.do("close")
        await asyncio.sleep(_SETTLED)
        before = await self._server.do("weigh")
        seconds = await self._crowd.do("connect", sockets=self._wanted.sockets, query=QUERY, **begun)
        await asyncio.sleep(_SETTLED)
        after = await self._server.do("weigh")
        kib = (after["megabytes"] - before["megabytes"]) * 1e6 / 1024 / self._wanted.sockets
        took = (after["seconds"] - before["seconds"]) * 1e3 / self._wanted.sockets
        say(f"connected in {seconds:.1f} s, {took:.2f} ms of processor time each")
        say(
            f"memory: {kib:.1f} KiB a subscriber (goal: at most {_KIB:g} KiB), {after['megabytes']:.0f} MB in all, "
            f"{before['megabytes']:.0f} MB without them"
        )

    async def rest(self) -> None:
        """Nothing happens; tells of processor time."""
        before = await self._server.do("weigh")
        begun = time.monotonic()
        await asyncio.sleep(self._wanted.seconds)
        after = await self._server.do("weigh")
        share = (after["seconds"] - before["seconds"]) / (time.monotonic() - begun)
        say(f"idle for {self._wanted.seconds:g} s: {share:.1%} of a processor, {after['megabytes']:.0f} MB")

    async def move(self) -> None:
        """Events for everybody; tells of delivery."""
        wanted = self._wanted
        part = max(1, wanted.moving // _SYSTEMS)
        name = f"{part} jobs in each commit, as of {_SYSTEMS} systems"
        await self._deliver(name, _SYSTEMS * wanted.commits, part, wanted.every / _SYSTEMS)
        await self._deliver(f"{wanted.moving} jobs in each commit", wanted.commits, wanted.moving, wanted.every)
        await self._deliver("each job in a commit of its own", wanted.moving, 1, wanted.every / wanted.moving)

    async def _deliver(self, name: str, commits: int, moving: int, every: float) -> None:
        events: list[Any] = []
        before = await self._server.do("weigh")
        for _ in range(commits):
            begun = time.monotonic()
            events += await self._server.do("publish", times=1, moving=moving)
            await asyncio.sleep(begun + every - time.monotonic())
        report = await self._crowd.do("check", events=events, within=_DELIVERED)
        after = await self._server.do("weigh")
        self.found += [f"{name}: {fault}" for fault in report["faults"]]
        took = (after["seconds"] - before["seconds"]) * 1e6 / max(1, report["received"])
        median, slow, worst = report["latencies"].values() if report["latencies"] else (0.0, 0.0, 0.0)
        say(
            f"{name}, {commits} commits: {report['received']} of {report['wanted']} messages; "
            f"half within {median:.0f} ms, 99 % within {slow:.0f} ms "
            f"(goal: {_MS:g} ms), all within {worst:.0f} ms; {took:.1f} µs each"
        )


async def measure(wanted: Wanted) -> list[str]:
    """Everything that was not delivered as it should be."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = {"jobs": wanted.jobs, "store": wanted.store or f"sqlite:///{folder / 'store.db'}"}
        server = await stack.enter_async_context(program("live_gateway.py", json.dumps(served), wanted.loop))
        crowd = await stack.enter_async_context(program("subscribers.py"))
        audience = Audience(server, crowd, wanted)
        await audience.come()
        await audience.rest()
        await audience.move()
    return audience.found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=100, help="as many as there are sockets: each watches its own")
    parser.add_argument("--moving", type=int, default=100, help="jobs that move in one commit")
    parser.add_argument("--seconds", type=float, default=30.0, help="of idleness")
    parser.add_argument("--commits", type=int, default=10)
    parser.add_argument("--every", type=float, default=2.0, help="seconds from one commit to the next")
    parser.add_argument("--store", help="an empty one; default: a SQLite file that goes away")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="uvloop has to be installed")
    wanted = Wanted(**vars(parser.parse_args()))
    say(f"{wanted.sockets} sockets on {wanted.jobs} jobs, {wanted.loop}")
    found = asyncio.run(measure(wanted))
    for line in found:
        say(f"  {line}")
    say(f"not delivered as it should be: {len(found)}" if found else "everybody got everything, once and in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
