"""Subscribers that come back at once, each with a cursor of its own, get all that they missed, once and in order.

Size: 200 sockets, 1 and up to 100 events behind; FULL=1: 2,000, 1 and up to 200.
"""

from tests.proofs.bench import ran
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_everybody_who_comes_back_gets_everything(figures: Figures) -> None:
    sockets, behind = size(("200", "100"), ("2000", "200"))
    status, output = await ran("comeback.py", "--sockets", sockets, "--behind", "1", behind, within=size(170, 1800))
    figures(output)
    assert status == 0, output
    assert "everybody got everything, once and in order" in output
    assert output.count("all had everything after") == 2, output
