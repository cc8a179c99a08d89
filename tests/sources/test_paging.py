"""Lists that are read page by page: how far, and the past of many of them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import pytest

from connectory.model import HistoryBatch
from sources.base import SourceError, SourceMismatch, SourceUnreachable
from sources.paging import HistoryPage, all_new_met, history_of_each
from sources.rounds import CONCURRENCY
from tests.facts import job
from tests.sources.cases import cases


@cases(
    ("new", "came", "ends_known", "met"),
    [
        (0, 0, False, True),
        (3, 3, False, True),
        # one more came, and stands further back
        (3, 4, False, False),
        (3, 4, True, False),
        # old ones were removed, and how many hides others
        (3, 2, False, False),
        (3, 2, True, True),
        # nobody counted
        (3, None, False, False),
        (3, None, True, True),
    ],
)
def test_how_far_a_list_has_to_be_read(new: int, came: int | None, ends_known: bool, met: bool) -> None:
    assert all_new_met(new, came, ends_known=ends_known) is met


class Lists:
    """Pages of jobs by name; an error stands for a page that cannot be read."""

    def __init__(self, pages: Mapping[str, Sequence[HistoryPage | SourceError]]) -> None:
        self._pages = pages
        self.asked: list[str] = []
        self.at_work = self.most = 0

    async def pages(self, name: str) -> AsyncGenerator[HistoryPage, None]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            for page in self._pages[name]:
                self.asked.append(name)
                await asyncio.sleep(0)
                if isinstance(page, SourceError):
                    raise page
                yield page
        finally:
            self.at_work -= 1


def page(*names: str, is_last: bool = False) -> HistoryPage:
    return HistoryPage([job(name) for name in names], is_last)


def jobs_of(batches: Sequence[HistoryBatch]) -> list[str]:
    return sorted(job.external_id for batch in batches for job in batch.jobs)


def finished_by(batches: Sequence[HistoryBatch]) -> set[str]:
    return {name for batch in batches for name in batch.finished}


async def test_the_past_of_many_is_read_a_few_at_a_time_and_gathered() -> None:
    lists = Lists({f"c{number:02}": [page(f"{number}a"), page(f"{number}b")] for number in range(20)})
    names = [f"c{number:02}" for number in range(20)]
    batches = [batch async for batch in history_of_each(names, lists.pages, batch=8)]
    assert jobs_of(batches) == sorted(f"{number}{letter}" for number in range(20) for letter in "ab")
    assert [len(batch.jobs) for batch in batches[:-1]] == [8] * (len(batches) - 1)
    assert (finished_by(batches), lists.most, lists.at_work) == ({*names}, CONCURRENCY, 0)


async def test_a_last_page_that_says_so_is_the_end() -> None:
    lists = Lists({"c": [page("a"), page("b", is_last=True), page("never")]})
    batches = [batch async for batch in history_of_each(["c"], lists.pages, batch=100)]
    assert (jobs_of(batches), finished_by(batches), lists.asked) == (["a", "b"], {"c"}, ["c", "c"])


async def test_nobody_has_no_past() -> None:
    assert [batch async for batch in history_of_each([], Lists({}).pages, batch=1)] == []


async def test_a_name_that_is_left_out_is_not_finished_and_costs_no_other() -> None:
    lists = Lists({"odd": [page("a"), SourceMismatch("odd")], "c": [page("b")]})
    past = history_of_each(["odd", "c"], lists.pages, batch=100, left_out=(SourceMismatch,))
    batches = [batch async for batch in past]
    assert (jobs_of(batches), finished_by(batches)) == (["a", "b"], {"c"})


async def test_any_other_error_comes_after_what_was_read_until_then() -> None:
    others = {f"c{number}": [page(f"{number}", is_last=True)] for number in range(1, 20)}
    lists = Lists({"c0": [SourceUnreachable("down")], **others})
    batches: list[HistoryBatch] = []

    async def read() -> None:
        async for batch in history_of_each(["c0", *others], lists.pages, batch=100):
            batches.append(batch)

    with pytest.raises(SourceUnreachable, match="down"):
        await read()
    # those that were being asked are heard, and nobody else is asked
    assert lists.asked == [f"c{number}" for number in range(CONCURRENCY)]
    assert finished_by(batches) == {*lists.asked} - {"c0"}
    assert lists.at_work == 0


async def test_a_past_that_is_left_leaves_nothing_running() -> None:
    lists = Lists({f"c{number}": [page(f"{number}")] * 20 for number in range(20)})
    past = history_of_each([f"c{number}" for number in range(20)], lists.pages, batch=1)
    assert (await anext(past)).jobs
    await past.aclose()
    assert lists.at_work == 0
