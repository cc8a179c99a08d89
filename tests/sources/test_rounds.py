"""Asking the same of many: a few at a time, until an answer concerns all of them or too many stay silent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from connectory.model import SystemErrorCode
from sources.base import SourceAuthFailed, SourceError, SourceMismatch, SourceRateLimited, SourceUnreachable
from sources.rounds import CONCURRENCY, PATIENCE, ask_all, ask_each, failures_of, gravest, problems_of
from tests.sources.cases import cases

MANY = range(100)


def raising(errors: dict[int, SourceError]) -> tuple[Callable[[int], Awaitable[int]], list[int]]:
    """What to ask: the double of a number, or its error. And which were asked."""
    asked: list[int] = []

    async def ask(number: int) -> int:
        asked.append(number)
        await asyncio.sleep(0)
        if number in errors:
            raise errors[number]
        return number * 2

    return ask, asked


async def test_each_is_asked_once_and_a_few_at_a_time() -> None:
    at_work = most = 0

    asked: list[int] = []

    async def ask(number: int) -> int:
        nonlocal at_work, most
        asked.append(number)
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        return number

    round_ = await ask_each([*MANY, *MANY], ask)
    assert round_.answers == {number: number for number in MANY}
    assert (round_.failures, round_.unasked, round_.first()) == ({}, [], None)
    assert (most, asked) == (CONCURRENCY, [*MANY])


async def test_nobody_to_ask() -> None:
    assert (await ask_each([], raising({})[0])).answers == {}


async def test_an_error_of_one_costs_no_other() -> None:
    error = SourceMismatch("odd")
    ask, asked = raising({3: error})
    round_ = await ask_each(MANY, ask)
    assert (round_.failures, round_.unasked, len(round_.answers), len(asked)) == ({3: error}, [], 99, 100)
    assert (round_.first(), round_.first(SourceAuthFailed)) == (error, None)
    assert (round_.take_out(SourceMismatch), round_.failures) == ({3}, {})


@cases("error", [SourceAuthFailed("no", status=401), SourceRateLimited("wait", retry_after=5)])
async def test_an_error_that_concerns_all_ends_the_round(error: SourceError) -> None:
    ask, asked = raising({3: error})
    round_ = await ask_each(MANY, ask)
    assert (round_.failures, round_.ended_by) == ({3: error}, error)
    assert sorted((*round_.answers, 3, *round_.unasked)) == [*MANY]
    assert 4 <= len(asked) <= 3 + CONCURRENCY

    patient = await ask_each(MANY, ask, concerns_all=lambda _: False)
    assert (patient.failures, patient.unasked) == ({3: error}, [])


async def test_patience_ends() -> None:
    errors: dict[int, SourceError] = dict.fromkeys(MANY, SourceUnreachable("silence"))
    for patience in (1, PATIENCE, 10):
        ask, asked = raising(errors)
        round_ = await ask_each(MANY, ask, patience=patience)
        assert patience <= len(asked) < patience + CONCURRENCY
        assert round_.unasked == [*range(len(asked), 100)]


async def test_what_is_silence_is_for_the_asker_to_say() -> None:
    ask, asked = raising({})
    round_ = await ask_each(MANY, ask, is_silent=lambda outcome: not isinstance(outcome, SourceError), patience=2)
    assert round_.unasked == [*range(len(asked), 100)]
    assert (round_.failures, round_.ended_by) == ({}, None)


async def test_all_or_the_first_error() -> None:
    assert await ask_all(range(3), raising({})[0]) == {0: 0, 1: 2, 2: 4}
    ask, asked = raising({5: SourceMismatch("odd")})
    with pytest.raises(SourceMismatch, match="odd"):
        await ask_all(MANY, ask)
    assert len(asked) <= 5 + CONCURRENCY


async def test_whoever_stops_waiting_leaves_nobody_at_work() -> None:
    begun, ended = asyncio.Event(), list[int]()

    async def ask(number: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    task = asyncio.ensure_future(ask_each(MANY, ask))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(ended) == CONCURRENCY


async def test_a_failure_as_a_problem() -> None:
    problem = SourceUnreachable("HTTP 503", code=SystemErrorCode.UPSTREAM_ERROR, retry_after=7).problem("job 3")
    assert (problem.code, problem.message, problem.retry_after) == (
        SystemErrorCode.UPSTREAM_ERROR,
        "job 3: HTTP 503",
        7,
    )
    assert SourceMismatch("odd").problem("job 3").retry_after is None


async def test_outcomes_are_what_was_told_or_the_error_in_its_place() -> None:
    odd, limit = SourceMismatch("odd"), SourceRateLimited("wait")
    ask, asked = raising({0: odd, 1: limit})
    round_ = await ask_each(MANY, ask)
    tried = [number for number in asked if number > 1]
    assert round_.unread == {*MANY} - {*tried}
    assert round_.outcomes() == {
        **dict.fromkeys(round_.unread, limit),
        **{number: number * 2 for number in tried},
        0: odd,
    }
    assert [problem.message for problem in round_.problems("number")] == ["number 0: odd", "number 1: wait"]
    # of those that share an error one is named
    problems = problems_of(failures_of(round_.outcomes()), "number")
    assert [problem.message for problem in problems] == [
        "number 0: odd",
        f"number 1 and {len(round_.unasked)} more: wait",
    ]
    assert gravest([odd, limit]) is limit


async def test_asking_is_in_vain_when_nobody_told_anything() -> None:
    odd, refused = SourceMismatch("odd"), SourceAuthFailed("no")
    round_ = await ask_each([0, 1], raising({0: odd, 1: refused})[0])
    assert round_.in_vain
    with pytest.raises(SourceAuthFailed):
        round_.raise_first(SourceAuthFailed)
    round_.raise_first(SourceUnreachable)
    # an error that is an answer is none in vain
    round_.take_out(SourceMismatch)
    assert (round_.in_vain, round_.failures) == (False, {1: refused})
    assert not (await ask_each([0, 2], raising({0: odd})[0])).in_vain
    assert not (await ask_each([], raising({})[0])).in_vain
