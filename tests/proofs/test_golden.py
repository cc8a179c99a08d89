"""The golden world: every condition comes and goes at the scripted moments, and never without one.

Size: 2.7 simulated hours; FULL=1: two whole days.
"""

import pytest

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size

_DAYS = size([("--hours", "2.7", "--hurry", "--seed", "1")], [("--hours", "24", "--seed", seed) for seed in "01"])


@pytest.mark.parametrize("arguments", _DAYS, ids=" ".join)
async def test_conditions_come_and_go_as_the_script_says(arguments: tuple[str, ...], figures: Figures) -> None:
    status, output = await ran("golden.py", *arguments, within=size(170, 3600))
    figures(output)
    assert status == 0, output
    assert "all is as scripted" in output
