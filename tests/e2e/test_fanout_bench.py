"""The live measurements in short: everybody gets everything, once and in order. Speed is not asked for here."""

import re

from tests.e2e.bench import ran

_WELL = "everybody got everything, once and in order"


async def test_fan_out_reaches_everybody_from_both_servers() -> None:
    status, said = await ran("fanout.py", "--sockets", "50", "--events", "5", "--rounds", "1", within=110)
    assert status == 0, said
    assert _WELL in said
    assert re.search(r"round 1, ours: .*round 1, plain: ", said, re.DOTALL), said
    assert re.search(r"processor: \S+ µs against \S+ µs a message", said), said


async def test_events_reach_idle_subscribers() -> None:
    status, said = await ran(
        "idle.py", "--sockets", "60", "--jobs", "20", "--moving", "10", "--commits", "4", "--every", "0.1",
        "--seconds", "0.2", within=110,
    )  # fmt: skip
    assert status == 0, said
    assert _WELL in said
    # 4 commits move 10 of the 20 jobs, each watched by 3; then 10 commits move one
    assert "120 of 120 messages" in said
    assert "30 of 30 messages" in said
