"""Systems that refuse to answer."""

from tests.faults.ground import Ground
from tests.faults.sequence import cases, go_through
from tests.faults.table import Fault


@cases("refusal")
async def test_fault(on: Ground, fault: Fault, kind: str) -> None:
    await go_through(on)
