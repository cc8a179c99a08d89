"""What past runs let expect of the next."""

from typing import Any

import pytest

from connectory.engine.judging.expectation import Expectation, expect
from connectory.model import JobStatus, JobType
from tests.engine.judging.views import run

NOTHING = Expectation()


def lasted(*seconds: float | None, **fields: Any) -> list[Any]:
    """Runs with ten documents for each second."""
    return [
        run(
            str(number),
            started_at=-number * 9000,
            completed_at=None if value is None else -number * 9000 + value,
            processed=None if value is None else int(value * 10),
            **fields,
        )
        for number, value in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        pytest.param([], NOTHING, id="nothing ran"),
        pytest.param(lasted(100, 110), NOTHING, id="two are too few"),
        pytest.param(lasted(100, 110, 120), Expectation(110, 1100, 3), id="three"),
        pytest.param(lasted(100, 110, 120, 9000), Expectation(115, 1150, 4), id="an outlier changes little"),
        pytest.param(lasted(100, 110, status=JobStatus.FAILED) + lasted(9, 9), NOTHING, id="failures do not count"),
        pytest.param(
            lasted(100, 110, 120, status=JobStatus.SUCCEEDED_WITH_ERRORS),
            Expectation(110, 1100, 3),
            id="some errors are a success",
        ),
        pytest.param(lasted(100, 110, 120, type=JobType.INCREMENTAL), NOTHING, id="another type does not count"),
        pytest.param(lasted(100, 110, None), NOTHING, id="an end that nobody told"),
        pytest.param(lasted(100, 110, 120, -5), Expectation(110, 1100, 3), id="an end before the start"),
        pytest.param(lasted(*[100] * 9, *[9000] * 9), Expectation(100, 1000, 9), id="long ago is another time"),
        pytest.param(lasted(5, 5000, 60, 700, 20), NOTHING, id="runs that have nothing in common"),
    ],
)
def test_expectation(past: list[Any], expected: Expectation) -> None:
    assert expect(past, JobType.FULL) == expected


def test_without_counters_there_is_still_a_duration() -> None:
    mute = [run(str(n), started_at=-n * 9000, completed_at=-n * 9000 + 60) for n in range(3)]
    assert expect(mute, JobType.FULL) == Expectation(60, None, 3)
