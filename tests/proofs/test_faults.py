"""What befalls every kind of system, one fault after the other on one ground: each is shown for what it is, nothing is
lost, and the other systems notice nothing.

Size: every fault on all five systems; FULL=1: the same.
"""

from collections.abc import Sequence

import pytest

from connectory.model import EventKind, SystemHealth
from tests.faults.fixtures import Grounds
from tests.faults.ground import Ground
from tests.faults.sequence import (
    calm,
    go_through,
    in_each_system,
    nothing_lost,
    others_untouched,
    shows,
    take_turns,
)
from tests.faults.table import FAULTS, Fault

#: Seconds of simulated time in which every system has new jobs.
_A_WHILE = 600.0


async def wrong_clock(on: Ground) -> None:
    """Jobs go on meanwhile and afterwards, and each of them is found."""
    before = await calm(on)
    await on.begin()
    on.troubled.hand.move(_A_WHILE)
    await on.troubled.polled(3)  # what is gone is removed after two answers
    await shows(on, on.fault.shown_by(on.troubled.kind.name).health)
    await nothing_lost(on)
    await on.mend()
    on.troubled.hand.move(_A_WHILE)
    await on.troubled.polled(3)  # what is gone is removed after two answers
    await shows(on, SystemHealth.UP)
    await nothing_lost(on)
    kinds = await on.kinds(on.troubled, before.position)
    assert EventKind.SYSTEM_CHANGED not in kinds
    assert {row["id"] for row in before.troubled[1]} < {row["id"] for row in await on.jobs(on.troubled)}
    await others_untouched(on, before)


async def go_its_way(on: Ground) -> None:
    await (wrong_clock if on.fault.group == "clock" else go_through)(on)


@in_each_system([fault for fault in FAULTS if fault.group != "size"])
async def test_faults(grounds: Grounds, turns: Sequence[Fault], kind: str, caplog: pytest.LogCaptureFixture) -> None:
    await take_turns(grounds, turns, kind, caplog, go_its_way)
