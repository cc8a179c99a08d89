"""Huge answers of each system: the rest of the program goes on meanwhile, in bounded memory.

Size: 50 MB in one value and in entries without end; FULL=1: the same.
"""

from collections.abc import Sequence
from functools import partial

import pytest

from tests.faults.fixtures import Grounds
from tests.faults.sequence import in_each_system, outlast, take_turns
from tests.faults.table import FAULTS, Fault

#: Bytes of memory that such an answer may cost, two copies of the simulator's own among them.
_MEMORY = 500_000_000
#: Seconds of processor time without a turn of the event loop. Defects that this found stood still for five to eight.
_GAP = 3.0


@in_each_system([fault for fault in FAULTS if fault.group == "size"])
async def test_huge_answers(
    grounds: Grounds, turns: Sequence[Fault], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await take_turns(grounds, turns, kind, caplog, partial(outlast, gap=_GAP, memory=_MEMORY))
