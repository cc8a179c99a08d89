"""The live lane of the Onyx adapter: open attempts alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from connectory.model import JobStatus, Known, Observation, SystemErrorCode
from sources.base import SourceAuthFailed, SourceRateLimited, SourceUnreachable
from sources.onyx.live import LARGE_PAGE, MARGIN
from tests.sources.canned import Asked, Canned, Reply
from tests.sources.cases import cases
from tests.sources.onyx_stage import Answer, attempt, attempts_path, groups, onyx, pages

DOWN = Reply({"detail": "down"}, 503)


def knowing(**open_jobs: int) -> Known:
    """``j7=1``: attempt 7 of pair 1 is open."""
    return Known(open_jobs={job[1:]: str(pair) for job, pair in open_jobs.items()})


async def look(known: Known, attempts: Mapping[int, Answer]) -> tuple[Observation, Canned]:
    async with onyx(groups(), attempts) as (source, upstream):
        return await source.look(known, frozenset(known.open_jobs)), upstream


def sizes(upstream: Canned) -> list[tuple[str, str, str]]:
    return [(asked.path, asked.query["page_num"], asked.query["page_size"]) for asked in upstream.asked]


async def test_one_small_page_of_each_pair_is_enough() -> None:
    attempts = {
        1: pages([attempt(number, "in_progress" if number == 60 else "success") for number in range(60, 30, -1)]),
        2: pages([attempt(62, "not_started", time_started=None), *(attempt(number) for number in range(29, 10, -1))]),
        3: pages([attempt(9)]),
    }
    seen, upstream = await look(knowing(j60=1, j62=2), attempts)
    small = str(1 + MARGIN)
    assert sorted(sizes(upstream)) == [(attempts_path(number), "0", small) for number in (1, 2)]
    told = {job.external_id: job for job in seen.jobs}
    assert told["60"].status is JobStatus.RUNNING
    assert told["62"].status is JobStatus.PENDING
    assert (list(seen.connectors), seen.complete, seen.gone_jobs, list(seen.problems)) == ([], False, frozenset(), [])


async def test_an_end_is_told_with_what_came_after_it() -> None:
    items = [attempt(8, "in_progress"), attempt(7, "failed", error_msg="broke"), attempt(6)]
    seen, _ = await look(knowing(j7=1), {1: pages(items)})
    told = {job.external_id: job for job in seen.jobs}
    assert (told["7"].status, told["7"].ended, told["7"].error_message) == (JobStatus.FAILED, True, "broke")
    assert told["8"].status is JobStatus.RUNNING


async def test_an_attempt_further_back_is_found_on_a_larger_page() -> None:
    items = [attempt(number) for number in range(90, 10, -1)]
    seen, upstream = await look(knowing(j40=1), {1: pages(items)})
    assert [size for *_, size in sizes(upstream)] == [str(1 + MARGIN), str(LARGE_PAGE)]
    assert "40" in {job.external_id for job in seen.jobs}
    assert not seen.gone_jobs


@cases(("numbers", "requests"), [([9, 8, 6, 5, 4, 3], 2), ([9, 8, 6], 1), ([], 1)])
async def test_an_attempt_that_is_not_served_any_more_is_gone(numbers: list[int], requests: int) -> None:
    seen, upstream = await look(knowing(j7=1), {1: pages([attempt(number) for number in numbers])})
    assert seen.gone_jobs == {"7"}
    assert len(upstream.asked) == requests


async def test_what_lies_beyond_the_larger_page_is_not_called_gone() -> None:
    items = [attempt(number) for number in range(900, 100, -1)]
    seen, upstream = await look(knowing(j150=1), {1: pages(items)})
    assert not seen.gone_jobs
    assert not seen.jobs  # they would hide the gap between them and what is known from the next poll
    assert len(upstream.asked) == 2


async def test_newer_attempts_that_may_not_be_all_are_not_told() -> None:
    waiting = [attempt(50, "not_started", time_started=None)]
    items = [*waiting, *(attempt(number) for number in range(90, 50, -1)), attempt(49)]
    seen, _ = await look(knowing(j50=1), {1: pages(items)})
    assert [job.external_id for job in seen.jobs] == ["50"]


async def test_an_attempt_that_cannot_be_read_is_not_called_gone() -> None:
    items = [attempt(8), attempt(7, total_docs_indexed=-1), attempt(6)]
    seen, _ = await look(knowing(j7=1), {1: pages(items)})
    assert not seen.gone_jobs
    assert ["index attempt 7 of cc-pair 1" in problem.message for problem in seen.problems] == [True]


async def test_a_pair_that_is_not_there_is_left_to_the_list() -> None:
    hidden = Reply({"error_code": "INSUFFICIENT_PERMISSIONS", "detail": "CC Pair not found for current user"}, 403)
    seen, _ = await look(knowing(j7=1), {1: hidden})
    assert (list(seen.jobs), seen.gone_jobs, list(seen.problems)) == ([], frozenset(), [])


async def test_what_can_be_read_is_told_beside_what_cannot() -> None:
    seen, _ = await look(knowing(j7=1, j8=2), {1: DOWN, 2: pages([attempt(8)])})
    assert [job.external_id for job in seen.jobs] == ["8"]
    assert [problem.code for problem in seen.problems] == [SystemErrorCode.UPSTREAM_ERROR]
    assert "cc-pair 1" in seen.problems[0].message
    assert not seen.owed


@cases(
    ("reply", "error"),
    [
        (DOWN, SourceUnreachable),
        (Reply({"detail": "slow"}, 429, {"Retry-After": "5"}), SourceRateLimited),
        (Reply({"detail": "Access denied. User is not authenticated."}, 403), SourceAuthFailed),
    ],
)
async def test_trouble_everywhere_is_raised_before_all_are_asked(reply: Reply, error: type[Exception]) -> None:
    numbers = range(1, 41)
    known = knowing(**{f"j{number}": number for number in numbers})
    async with onyx(groups(), dict.fromkeys(numbers, reply)) as (source, upstream):
        with pytest.raises(error):
            await source.look(known, frozenset(known.open_jobs))
    assert len(upstream.asked) < 10


async def test_a_wait_that_is_asked_for_is_handed_on() -> None:
    answers: dict[int, Answer] = dict.fromkeys(range(2, 41), Reply({"detail": "slow"}, 429, {"Retry-After": "5"}))
    known = knowing(**{f"j{number}": number for number in range(1, 41)})
    seen, upstream = await look(known, {1: pages([attempt(1)]), **answers})
    assert [job.external_id for job in seen.jobs] == ["1"]
    assert {problem.retry_after for problem in seen.problems} == {5.0}
    assert len(upstream.asked) < 10


@cases("open_jobs", [{"7": None}, {"7": "federated:1"}, {"seven": "1"}])
async def test_what_cannot_be_an_attempt_is_not_asked_for(open_jobs: dict[str, Any]) -> None:
    def refuse(_: Asked) -> Reply:
        raise AssertionError("nothing is to be asked")

    seen, upstream = await look(Known(open_jobs=open_jobs), {1: refuse})
    assert not upstream.asked
    assert not seen.jobs


async def test_jobs_that_are_not_open_are_not_asked_for() -> None:
    async with onyx(groups()) as (source, upstream):
        await source.look(knowing(j7=1), frozenset({"8"}))
    assert not upstream.asked
