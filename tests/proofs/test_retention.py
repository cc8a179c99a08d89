"""Rows of the log are removed while polls go on, and nobody waits long for it.

Size: 200,000 rows; FULL=1: 1,000,000.
"""

import re

import pytest

from connectory.store import Store
from tests.engine.test_retention import polls_while_rows_are_removed
from tests.proofs.conftest import Figures
from tests.proofs.size import size


async def test_polls_go_on_while_two_hundred_thousand_rows_are_removed(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    output = await polls_while_rows_are_removed(sqlite_store, size(200_000, 1_000_000), monkeypatch)
    figures(output)
    waited = re.search(r"(\d+) polls, waited: median (\S+) ms, longest (\S+) ms", output)
    assert waited is not None
    polls, median, longest = (float(number) for number in waited.groups())
    assert polls > 20
    # the promise is 50 ms; a machine that others use may take its time to give us the processor
    assert median < 50
    assert longest < 1_000
