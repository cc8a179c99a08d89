"""Answers of 50 MB: the rest of the program goes on meanwhile, in bounded memory."""

from tests.faults.ground import Ground
from tests.faults.sequence import calm, cases, recover, suffer
from tests.faults.table import Fault
from tests.faults.ticker import Ticker

#: Bytes of memory that such an answer may cost, two copies of the simulator's own among them.
_MEMORY = 500_000_000
#: Seconds without a turn of the event loop. The defects that this found stood still for five to eight; a busy machine
#: alone may take one.
_STANDSTILL = 3.0


@cases("size")
async def test_huge_answer(on: Ground, fault: Fault, kind: str) -> None:
    before = await calm(on)
    others = len(on.well.polls)
    async with Ticker() as ticker:
        await on.begin()
        await suffer(on, before)
    assert ticker.longest_gap < _STANDSTILL
    assert ticker.growth < _MEMORY
    assert len(on.well.polls) > others
    await on.mend()
    await recover(on, before)
