"""How long many subscribers wait that come back at once, each with a cursor of its own.

``python bench/comeback.py --sockets 2000 --behind 200``: so many sockets subscribe to all events, each from a place of
its own among the last of the log. Prints seconds until each has all that it missed, and the gateway's processor time.
The status is 1 when a subscriber did not get everything once and in order, else 0, whatever the figures are.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from meters import say
from programs import program

QUERY = """
subscription ($after: String) {
  events(after: $after) {
    cursor
    at
    kind
    ... on JobEvent { jobStatus processed changedFields job { id status progress { processed total } } }
  }
}
"""
#: Seconds within which everybody is back.
_GOAL = 3.0


async def measure(sockets: int, behind: Sequence[int], loop: str, store: str | None) -> list[str]:
    """Everything that was not delivered as it should be."""
    found: list[str] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = {"jobs": 20, "store": store or f"sqlite:///{folder / 'store.db'}"}
        server = await stack.enter_async_context(program("live_gateway.py", json.dumps(served), loop))
        crowd = await stack.enter_async_context(program("subscribers.py"))
        begun = await server.do("begin")
        cursors = [cursor for _, cursor, _ in await server.do("publish", times=max(behind) + 1, moving=1)]
        await crowd.do("come_back", port=begun["port"], query=QUERY, after=cursors[-2:-1], cursors=cursors)
        await crowd.do("close")
        for most in behind:
            after = [cursors[-2 - number % most] for number in range(sockets)]
            before = await server.do("weigh")
            report = await crowd.do("come_back", port=begun["port"], query=QUERY, after=after, cursors=cursors)
            spent = (await server.do("weigh"))["seconds"] - before["seconds"]
            await crowd.do("close")
            await asyncio.sleep(1)
            found += report["faults"]
            each = spent * 1000 / sockets
            say(
                f"{sockets} subscribers, up to {most} events behind: all had everything after "
                f"{report['seconds']:.2f} s (goal: {_GOAL:g} s), {report['received']} results; "
                f"{each:.2f} ms of processor time for each subscriber"
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=2_000)
    parser.add_argument("--behind", type=int, nargs="+", default=[1, 200], help="events that were missed, at most")
    parser.add_argument("--store", help="an empty one; default: a SQLite file that goes away")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="uvloop has to be installed")
    wanted = parser.parse_args()
    found = asyncio.run(measure(**vars(wanted)))
    for line in found:
        say(f"  {line}")
    say(f"not delivered as it should be: {len(found)}" if found else "everybody got everything, once and in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
