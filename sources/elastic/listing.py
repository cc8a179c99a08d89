"""The job list, read page by page whatever order the server keeps (elastic.md §3)."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing

from connectory.model import JobFact
from sources.base import SourceMismatch
from sources.elastic.client import RESULT_WINDOW, ElasticClient, Page
from sources.elastic.mapping import Unreadable, read_job

#: Jobs in one answer, where all are wanted.
PAGE = 1_000

JobPage = Page[JobFact | Unreadable]


class JobList:
    """The job list, newest page first whatever order the server keeps.

    Since 8.13 servers sort newest first, 8.12 sorted oldest first, and no document says so: the order is told from the
    entries. Nothing is assumed of the order within a page.
    """

    def __init__(self, client: ElasticClient) -> None:
        self._client = client
        self.oldest_first = False

    async def pages(self, *, first: int = PAGE, **filters: str) -> AsyncGenerator[JobPage, None]:
        """Pages up to the end of the list or of the result window; ``first`` is the size of the first one.

        Raises SourceMismatch at a page without anything new, which would come again and again.
        """
        met: set[str] = set()
        async with aclosing(self._turned(first, filters)) as pages:
            async for page in pages:
                ids = names(page.results)
                if ids and len(ids) == len(page.results) and met.issuperset(ids):
                    raise SourceMismatch(f"jobs: {len(met)} of {page.count} were served; the list is not complete")
                met.update(ids)
                yield page

    async def _turned(self, first: int, filters: Mapping[str, str]) -> AsyncGenerator[JobPage, None]:
        was_oldest_first = self.oldest_first
        if was_oldest_first:
            head = await self._client.jobs(0, 0, read_job, **filters)
            async for page in self._backwards(head.count, first, filters):
                if _direction(page) < 0:
                    # the server was upgraded meanwhile
                    self.oldest_first = False
                    break
                yield page
            else:
                return
        page = await self._client.jobs(0, first, read_job, **filters)
        # a list that has turned round once is not turned again: one without any order must come to an end, too
        if not was_oldest_first and page.count > len(page.results) and _direction(page) > 0:
            self.oldest_first = True
            async for older in self._backwards(page.count, first, filters):
                yield older
            return
        yield page
        offset = len(page.results)
        while page.results and offset < min(page.count, RESULT_WINDOW):
            page = await self._client.jobs(offset, PAGE, read_job, **filters)
            yield page
            offset += len(page.results)

    async def _backwards(self, count: int, first: int, filters: Mapping[str, str]) -> AsyncIterator[JobPage]:
        end, size = min(count, RESULT_WINDOW), max(first, 1)
        while end > 0:
            start = max(0, end - size)
            yield await self._client.jobs(start, end - start, read_job, **filters)
            end, size = start, PAGE

    def misses_newest(self, count: int) -> bool:
        """Whether the newest jobs lie beyond the result window."""
        return self.oldest_first and count >= RESULT_WINDOW


def names(entries: Iterable[JobFact | Unreadable]) -> list[str]:
    """The ids of those that have one, in their order."""
    ids = (entry.external_id if isinstance(entry, JobFact) else entry.name for entry in entries)
    return [name for name in ids if name]


def _direction(page: JobPage) -> int:
    """1 when the page's last entry is newer than its first one, -1 when older, 0 when that cannot be told."""
    if not page.results:
        return 0
    first, last = (getattr(page.results[place], "created_at", None) for place in (0, -1))
    if first is None or last is None or first == last:
        return 0
    return 1 if last > first else -1
