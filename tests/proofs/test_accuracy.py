"""How far estimates of a job's end are off at half time: within their goals.

Size: 200 simulated runs; FULL=1: 2,000.
"""

import re

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_estimates_meet_their_goals(figures: Figures) -> None:
    status, output = await ran("eta.py", "--runs", size("200", "2000"), within=size(170, 1200))
    figures(output)
    assert status == 0, output
    errors = {name: float(error) for name, error in re.findall(r"^(.+): median error (\S+)% \(goal", output, re.M)}
    assert errors.keys() == {"PAST_RUNS", "TOTAL_KNOWN", "TOTAL_KNOWN, example source"}
    assert 1 < errors["PAST_RUNS"] < 25
    assert 1 < errors["TOTAL_KNOWN"] < 15
    assert 1 < errors["TOTAL_KNOWN, example source"] < 15
