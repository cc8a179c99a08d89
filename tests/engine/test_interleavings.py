"""Two gateways over one store, in a random order of what can happen; at length in ``tests/proofs``."""

from tests.interleavings.walk import Fresh, walks


async def test_the_store_holds_what_was_served_whatever_happens_in_between(fresh_store_url: Fresh) -> None:
    await walks(fresh_store_url, 1, 50, each=50)
