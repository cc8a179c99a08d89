"""How far estimates are off at half time, over simulated runs: bench/eta.py."""

import re

from tests.e2e.bench import ran


async def test_estimates_meet_their_goals() -> None:
    status, said = await ran("eta.py", within=100)
    assert status == 0, said
    errors = {name: float(error) for name, error in re.findall(r"^(.+): median error (\S+)% \(goal", said, re.M)}
    assert errors.keys() == {"PAST_RUNS", "TOTAL_KNOWN", "TOTAL_KNOWN, example source"}
    assert 1 < errors["PAST_RUNS"] < 25
    assert 1 < errors["TOTAL_KNOWN"] < 15
    assert 1 < errors["TOTAL_KNOWN, example source"] < 15
