"""What the past does to a limit."""

from collections.abc import Sequence

import pytest

from connectory.engine.judging.quiet import last_move, longest_quiet, moves
from connectory.engine.judging.thresholds import usual_longest
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


def test_pauses_are_told_by_what_moved() -> None:
    counted = samples((10, 0), (20, 0), (30, 5), (90, 5), (100, 9))
    assert moves(counted) == list(samples((10, 0), (30, 5), (100, 9)))
    assert last_move(counted) == at(100)
    assert last_move(counted[:2]) is None
    assert longest_quiet(counted, at(0), at(101)) == 70
    assert longest_quiet(counted, at(0), at(500)) == 400
    assert longest_quiet(counted, at(-200), at(101)) == 210
    assert longest_quiet((), at(0), at(500)) is None
    # a clock that was set back
    assert longest_quiet(samples((100, 0), (50, 5)), at(120), at(40)) == 0
