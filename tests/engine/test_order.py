"""The place of numbered jobs among the jobs."""

from datetime import timedelta
from random import Random

import pytest

from connectory.engine.recording.order import Sequenced, microseconds
from tests.facts import T0, at


@pytest.mark.parametrize("seed", range(200))
def test_numbers_decide_the_order_whatever_the_times_and_whichever_comes_first(seed: int) -> None:
    chance = Random(seed)
    numbers = chance.sample(range(1, 400), 40)
    spread = chance.choice([0.0, 1e-5, 1.0, 1e6])
    places = Sequenced(())
    placed: dict[int, int] = {}
    for count, number in enumerate(numbers):
        if count % 10 == 9:  # as after a restart
            places = Sequenced(placed.items())
        placed[number] = places.place(number, T0 + timedelta(seconds=chance.uniform(-spread, spread)))
    in_order = [placed[number] for number in sorted(numbers)]
    assert in_order == sorted(in_order)
    assert len(set(in_order)) == len(in_order), "two jobs share a place"


@pytest.mark.parametrize("seed", range(20))
def test_consistent_times_are_left_alone(seed: int) -> None:
    numbers = list(range(1, 60))
    Random(seed).shuffle(numbers)
    places = Sequenced(())
    for number in numbers:
        assert places.place(number, at(number * 3)) == microseconds(at(number * 3))


def test_a_gap_between_two_equal_times_has_room_for_all_numbers_in_it() -> None:
    places = Sequenced([])
    first, last = places.place(1, T0), places.place(9, T0)
    between = [places.place(number, T0) for number in (5, 3, 7, 2, 8, 4, 6)]
    assert sorted({first, last, *between}) == list(range(first, first + 9))


def test_only_the_one_that_disagrees_is_moved() -> None:
    places = Sequenced([(10, microseconds(at(100))), (20, microseconds(at(200)))])
    assert places.place(15, at(500)) == microseconds(at(200)) - 5
    assert places.place(16, at(0)) == microseconds(at(200)) - 4
    assert places.place(11, at(0)) == microseconds(at(100)) + 1
    assert places.place(21, at(300)) == microseconds(at(300))


def test_microseconds_are_exact() -> None:
    moment = at(0).replace(microsecond=123_457, year=9999)
    assert microseconds(moment) % 1_000_000 == 123_457
    assert microseconds(moment) < 2**63
