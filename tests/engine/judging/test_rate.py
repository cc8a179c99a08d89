"""How fast a counter grows: steady, in bursts, frozen, reset."""

from typing import Any

import pytest

from connectory.engine.judging.movement import rate_per_second
from connectory.engine.judging.views import Gap
from tests.engine.judging.views import samples
from tests.facts import at

STEADY = samples(*((second, second * 2) for second in range(0, 601, 15)))
SLOWER = samples(*((second, 8700 + second) for second in range(300, 601, 15)))
#: 400 documents every 400 seconds.
BURSTS = samples(*((step * 400, step * 400) for step in range(9)))
RARE = samples(*((step * 900, step * 900) for step in range(5)))


@pytest.mark.parametrize(
    ("counted", "seconds", "expected"),
    [
        pytest.param((), 60, None, id="nothing"),
        pytest.param(samples((0, 5)), 60, None, id="one sample"),
        pytest.param(samples((0, 5), (0, 9)), 0, None, id="no time between"),
        pytest.param(samples((0, 5), (10, 25)), 10, 2.0, id="two samples"),
        pytest.param(STEADY, 600, 2.0, id="steady"),
        pytest.param((*samples((0, 0), (285, 9000)), *SLOWER), 600, 1.0, id="slower now"),
        pytest.param(BURSTS, 3200, 1.0, id="bursts that are far apart"),
        pytest.param(BURSTS, 3599, 1.0, id="just before the next burst"),
        pytest.param(RARE, 3600 + 1800, 0.0, id="half an hour is the furthest look back"),
        pytest.param(STEADY, 750, 1.0, id="frozen for half of the window"),
        pytest.param(STEADY, 900, 0.0, id="frozen for all of it"),
        pytest.param(samples((0, 40), (60, 40), (120, 40)), 120, 0.0, id="samples that repeat"),
        pytest.param(samples((0, 900), (60, 1000), (70, 0), (80, 50)), 80, 5.0, id="reset: it begins anew"),
        pytest.param(samples((0, 900), (60, 1000), (70, 0)), 80, None, id="reset just now"),
        pytest.param(samples((90, 10), (100, 20), (40, 30), (50, 40)), 50, 1.0, id="a clock that was set back between"),
        pytest.param(samples((0, 10), (100, 20)), -50, None, id="a clock that is set back now"),
    ],
)  # fmt: skip
def test_rate(counted: Any, seconds: float, expected: float | None) -> None:
    assert rate_per_second(counted, at(seconds)) == pytest.approx(expected)


def test_a_slow_counter_that_stands_still_comes_to_nothing_in_half_an_hour() -> None:
    rates = [rate_per_second(BURSTS, at(3200 + second)) for second in range(0, 1801, 60)]
    assert rates == sorted(rates, key=lambda rate: -(rate or 0.0))
    assert rates[-1] == 0.0


#: 2 a second, unseen from 600 to 4200; and one that rested meanwhile and moved only 60 seconds after.
THROUGH, RESTED = (*STEADY, *samples((4200, 8400), (4215, 8430))), (*STEADY, *samples((4260, 1260)))


@pytest.mark.parametrize(
    ("counted", "seconds", "expected"),
    [
        pytest.param(THROUGH[:-1], 4200, 2.0, id="at the end of the gap"),
        pytest.param(THROUGH, 4215, 2.0, id="soon after it"),
        pytest.param(THROUGH, 4500, 0.1, id="what came in the gap is out of the window"),
        pytest.param(RESTED, 4260, 0.2, id="what came after the gap did not come in it"),
    ],
)
def test_what_a_counter_did_unseen_it_did_evenly(counted: Any, seconds: float, expected: float) -> None:
    assert rate_per_second(counted, at(seconds), [Gap(at(600), at(4200))]) == pytest.approx(expected)
