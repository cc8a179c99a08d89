"""All five systems get into every sort of trouble at once, and in the end the store holds what their worlds hold.

Size: 45 seconds; FULL=1: 10 minutes.
"""

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_soak(figures: Figures) -> None:
    minutes = size("0.75", "10")
    status, output = await ran("soak.py", "--minutes", minutes, "--speed", "20", "--seed", "1", within=size(170, 1200))
    figures(output)
    assert status == 0, output
    assert "nothing was found" in output
