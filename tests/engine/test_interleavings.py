"""Two gateways over one store, in a random order of what can happen; at length in ``tests/proofs``."""

import pytest

from tests.interleavings.defects import Defect, ask_once_what_is_removed, store_late_answers
from tests.interleavings.walk import Fresh, Step, replay, walks

_A_JOB_IS_SEEN = "answer_arrives(0) connector_appears(0) job_begins(0) all_is_well(0) "
#: The other gateway polls and sees its end; the look of the first one is answered then.
_LATE_LOOK = _A_JOB_IS_SEEN + "lease_is_lost(0) job_ends(0) all_is_well(0) answer_arrives(1)"
#: Retention finds the removed connector, and takes the job when it is back.
_BACK_IN_TIME = (
    _A_JOB_IS_SEEN + "job_ends(0) all_is_well(0) "
    "connector_is_long_gone(0) retention_goes_on(0) connector_returns_in_time(0) retention_ends(0)"
)


async def test_the_store_holds_what_was_served_whatever_happens_in_between(fresh_store_url: Fresh) -> None:
    await walks(fresh_store_url, 1, 50, each=50)


@pytest.mark.parametrize(
    ("defect", "way", "found"),
    [
        (
            store_late_answers,
            _LATE_LOOK,
            "job j0 turns from CANCELED to RUNNING: an answer as of 4 was stored over one as of 7",
        ),
        (ask_once_what_is_removed, _BACK_IN_TIME, "job j0 was removed by retention and c0 needs it"),
    ],
    ids=["late-answers", "asked-once"],
)
async def test_a_defect_that_is_put_back_is_found(
    fresh_store_url: Fresh, defect: Defect, way: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Step.of(text) for text in way.split()]
    assert await replay(await fresh_store_url(), steps) is None, "without it"
    defect(monkeypatch)
    error = await replay(await fresh_store_url(), steps)
    assert isinstance(error, AssertionError)
    assert str(error) == found
