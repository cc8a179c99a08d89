"""The store of a large world holds exactly what the world holds, and an idle poll asks for little.

Size: 500 connectors and some 10,000 jobs; FULL=1: 10,000 and some 200,000.
"""

import re

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_large_world(figures: Figures) -> None:
    connectors = size(500, 10_000)
    status, output = await ran(
        "large_world.py", "--connectors", str(connectors), "--jobs", "20", within=size(170, 1800)
    )
    figures(output)
    assert status == 0, output
    idle = re.search(r"an idle poll: \S+ s, (\d+) requests", output)
    assert idle is not None, output
    assert int(idle[1]) <= 10
    held = re.search(r"store: (\d+) connectors, (\d+) jobs", output)
    assert held is not None, output
    assert int(held[1]) == connectors
    assert int(held[2]) > 10 * connectors
