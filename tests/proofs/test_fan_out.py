"""Everybody who watches gets everything, once and in order; what it costs is printed beside plain Strawberry's.

Size: 50 sockets × 5 events, 60 idle ones; FULL=1: 1,000 × 20 in three rounds, 10,000 idle ones.
"""

import re

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size

_WELL = "everybody got everything, once and in order"


async def test_fan_out_reaches_everybody_from_both_servers(figures: Figures) -> None:
    sockets, events, rounds = size(("50", "5", "1"), ("1000", "20", "3"))
    status, output = await ran(
        "fanout.py", "--sockets", sockets, "--events", events, "--rounds", rounds, within=size(170, 1800)
    )
    figures(output)
    assert status == 0, output
    assert _WELL in output
    assert re.search(r"round 1, ours: .*round 1, plain: ", output, re.DOTALL), output
    assert re.search(r"processor: \S+ µs against \S+ µs a message", output), output


_FEW = (
    "--sockets", "60", "--jobs", "20", "--moving", "10", "--commits", "4", "--every", "0.1", "--seconds", "0.2",
)  # fmt: skip


async def test_events_reach_idle_subscribers(figures: Figures) -> None:
    status, output = await ran("idle.py", *size(_FEW, ()), within=size(170, 1800))
    figures(output)
    assert status == 0, output
    assert _WELL in output
    delivered = [int(number) for number in re.findall(r"(\d+) of \1 messages", output)][-2:]
    # 10 or 100 jobs in each of 4 or 10 commits, then each of them in one of its own; 3 or 100 watch each job
    assert delivered == size([4 * 10 * 3, 10 * 3], [10 * 100 * 100, 100 * 100]), output
