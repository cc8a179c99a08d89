"""What the past does to a limit."""

from collections.abc import Sequence

import pytest

from connectory.engine.judging.movement import last_move, moves, watched
from connectory.engine.judging.thresholds import usual_longest
from connectory.engine.judging.views import Gap
from tests.engine.judging.views import samples
from tests.facts import at


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([5.0], 5.0),
        ([1.0, 9.0, 4.0], 9.0),
        ([*[1.0] * 8, 9.0], 9.0),
        ([*[1.0] * 9, 9.0], 1.0),
        ([*[1.0] * 18, 9.0, 9.0], 1.0),
        ([*[1.0] * 17, 9.0, 9.0, 9.0], 9.0),
    ],
)
def test_one_in_ten_may_be_an_accident(values: Sequence[float], expected: float | None) -> None:
    assert usual_longest(values) == expected


def test_what_moved() -> None:
    counted = samples((10, 0), (20, 0), (30, 5), (90, 5), (100, 9))
    assert moves(counted) == list(samples((10, 0), (30, 5), (100, 9)))
    assert last_move(counted) == at(100)
    assert last_move(counted[:2]) is None


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        pytest.param(0, 90, 90.0, id="before any gap"),
        pytest.param(0, 150, 100.0, id="into one"),
        pytest.param(0, 1000, 800.0, id="over both"),
        pytest.param(190, 210, 10.0, id="out of one"),
        pytest.param(120, 180, 0.0, id="within one"),
        pytest.param(200, 500, 300.0, id="between them"),
        pytest.param(90, 40, 0.0, id="a clock that was set back"),
    ],
)
def test_only_the_time_in_which_somebody_watched_counts(begin: float, end: float, expected: float) -> None:
    gaps = [Gap(at(100), at(200)), Gap(at(500), at(600))]
    assert watched(at(begin), at(end), gaps) == expected
