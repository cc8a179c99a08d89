"""Two gateways over one store, in a random order of what can happen: it holds what upstreams served, as the log tells.

Size: 300 steps on each kind of store; FULL=1: 10,000.
"""

from tests.interleavings.walk import Fresh, walks
from tests.proofs.conftest import Figures
from tests.proofs.size import size

#: Steps in one world.
_EACH = 100


async def test_the_store_holds_what_was_served_whatever_happens_in_between(
    fresh_store_url: Fresh, figures: Figures
) -> None:
    figures(await walks(fresh_store_url, 1000, size(300, 10_000), each=_EACH))
