"""No turn of the event loop is long while one system's connectors are polled, whether all of them change or none.

Size: 3,000 connectors and 1,000 running jobs; FULL=1: 10,000 and 5,000, then 100,000 connectors.
"""

import pytest

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import FULL, size

#: connectors, running jobs, ms of its own work that one turn may take; the short form runs beside other proofs
_WORLDS = [("10000", "5000", "50"), ("100000", "0", "100")] if FULL else [("3000", "1000", "250")]


@pytest.mark.parametrize(("connectors", "jobs", "limit"), _WORLDS)
async def test_no_turn_of_the_event_loop_is_long(figures: Figures, connectors: str, jobs: str, limit: str) -> None:
    status, output = await ran(
        "loop.py", "--connectors", connectors, "--jobs", jobs, "--limit", limit, within=size(170, 3600)
    )
    figures(output)
    assert status == 0, output
    assert output.count("all changed") == 4, output
