"""Every job that Elasticsearch still serves, newest first (elastic.md §3).

The global list tells 10,000 jobs at most. Where there are more, each connector's own list is read; a connector with
more than 10,000 jobs keeps its newest ones.
"""

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from connectory.model import HistoryBatch, JobFact, Known
from sources.elastic.client import RESULT_WINDOW, ElasticClient
from sources.elastic.listing import PAGE, JobList
from sources.elastic.mapping import Unreadable, read_job
from sources.paging import HistoryPage, history_of_each

_BATCH = 1_000

_logger = logging.getLogger(__name__)


async def read_history(
    client: ElasticClient, jobs: JobList, known: Known, connectors: frozenset[str]
) -> AsyncGenerator[HistoryBatch, None]:
    """The past jobs of ``connectors``; where the global list tells them, also those of connectors that are gone."""
    if not connectors:
        return
    total = (await client.jobs(0, 0, read_job)).count
    if total < RESULT_WINDOW and total <= len(connectors) * PAGE:
        async for page in jobs.pages():
            total = page.count
            facts = _readable(page.results)
            # another connector's jobs are not asked for; an orphan's are nowhere else to be had
            asked = [job for job in facts if job.connector in connectors or job.connector not in known.connectors]
            yield HistoryBatch(jobs=asked)
        if total < RESULT_WINDOW:
            yield HistoryBatch(jobs=(), finished=connectors)
            return

    async def pages(connector: str) -> AsyncGenerator[HistoryPage, None]:
        async with aclosing(jobs.pages(connector_id=connector)) as pages_read:
            async for page in pages_read:
                yield HistoryPage(_readable(page.results))

    async with aclosing(history_of_each(sorted(connectors), pages, batch=_BATCH)) as batches:
        async for batch in batches:
            yield batch


def _readable(entries: Iterable[JobFact | Unreadable]) -> list[JobFact]:
    """The facts of past jobs, newest first; those that cannot be read are logged and left out."""
    facts = []
    for fact in entries:
        if isinstance(fact, JobFact):
            facts.append(fact)
        else:
            _logger.warning(
                "A past job is left out, because it cannot be read: %s",
                fact.reason,
                extra={"action": "history_job_skipped", "job": fact.name},
            )
    facts.sort(key=lambda job: job.order_at, reverse=True)
    return facts
