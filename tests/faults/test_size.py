"""Large answers: the rest of the program goes on meanwhile, in bounded memory. tests/proofs has the huge ones."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from tests.faults.fixtures import Grounds
from tests.faults.sequence import in_each_system, outlast, take_turns
from tests.faults.table import FAULTS, Fault

#: Bytes: more than a hundred times what is decoded, and thousands of entries where fifty are mapped, in one go.
_LARGE = 4_000_000
#: Seconds of processor time without a turn of the event loop. Defects stood still for 0.28 to 0.57; collecting garbage
#: alone may take 0.12.
_GAP = 0.2
#: Bytes of memory that such an answer may cost, two copies of the simulator's own among them; it costs half of it.
_MEMORY = 60_000_000


@in_each_system([replace(fault, size=_LARGE) for fault in FAULTS if fault.group == "size"])
async def test_large_answers(
    grounds: Grounds, turns: Sequence[Fault], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await take_turns(grounds, turns, kind, caplog, partial(outlast, gap=_GAP, memory=_MEMORY))
