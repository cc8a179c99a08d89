"""Systems whose clock is wrong."""

from connectory.model import EventKind, SystemHealth
from tests.faults.ground import Ground
from tests.faults.sequence import calm, cases, nothing_lost, others_untouched, shows
from tests.faults.table import Fault

#: Seconds of simulated time in which every system has new jobs.
_A_WHILE = 600.0


@cases("clock")
async def test_wrong_clock(on: Ground, fault: Fault, kind: str) -> None:
    before = await calm(on)
    await on.begin()
    on.troubled.hand.move(_A_WHILE)
    await on.polled(on.troubled, 3)  # what is gone is removed after two answers
    await shows(on, fault.shown_by(kind).health)
    await nothing_lost(on)
    await on.mend()
    on.troubled.hand.move(_A_WHILE)
    await on.polled(on.troubled, 3)  # what is gone is removed after two answers
    await shows(on, SystemHealth.UP)
    await nothing_lost(on)
    told = await on.kinds(on.troubled, before.position)
    assert EventKind.SYSTEM_CHANGED not in told
    assert {row["id"] for row in before.troubled[1]} < {row["id"] for row in await on.jobs(on.troubled)}
    await others_untouched(on, before)
