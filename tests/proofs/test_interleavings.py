"""Two gateways over one store, in a random order of what can happen: it holds what upstreams served, as the log tells.
Late answers and a retention that asks once, put back, are found within the steps of the full size.

Size: 300 steps on each kind of store; FULL=1: 10,000.
"""

import pytest

from tests.interleavings.defects import Defect, ask_once_what_is_removed, store_late_answers
from tests.interleavings.walk import Fresh, first_wrong, walks
from tests.proofs.conftest import Figures
from tests.proofs.size import size

#: Where it begins; steps of the full size, and in one world.
_SEED, _ALL, _EACH = 1000, 10_000, 100


async def test_the_store_holds_what_was_served_whatever_happens_in_between(
    fresh_store_url: Fresh, figures: Figures
) -> None:
    figures(await walks(fresh_store_url, _SEED, size(300, _ALL), each=_EACH))


@pytest.mark.timeout(1800)  # it may take all the steps
@pytest.mark.parametrize("defect", [store_late_answers, ask_once_what_is_removed], ids=["late-answers", "asked-once"])
async def test_a_defect_that_is_put_back_is_found(
    fresh_store_url: Fresh, defect: Defect, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    defect(monkeypatch)
    output, error = await first_wrong(fresh_store_url, _SEED, _ALL, each=_EACH)
    figures(output)
    assert isinstance(error, AssertionError), output
