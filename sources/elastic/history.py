"""Every job that Elasticsearch still serves, newest first (elastic.md §3).

The global list tells 10,000 jobs at most. Where there are more, each connector's own list is read; a connector with
more than 10,000 jobs keeps its newest ones.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from connectory.model import HistoryBatch, JobFact, Known
from sources.elastic.client import RESULT_WINDOW, ElasticClient
from sources.elastic.listing import PAGE, JobList
from sources.elastic.mapping import Unreadable
from sources.rounds import CONCURRENCY

_BATCH = 1_000

_logger = logging.getLogger(__name__)

#: What one page of one connector's list gave; ``finished`` is the connector when it was the last one.
_Stretch = tuple[list[JobFact], str | None]


async def read_history(
    client: ElasticClient, jobs: JobList, known: Known, connectors: frozenset[str]
) -> AsyncGenerator[HistoryBatch, None]:
    """The past jobs of ``connectors``; where the global list tells them, also those of connectors that are gone."""
    if not connectors:
        return
    total = (await client.jobs(0, 0)).count
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
    async with aclosing(_one_by_one(jobs, sorted(connectors))) as batches:
        async for batch in batches:
            yield batch


async def _one_by_one(jobs: JobList, connectors: list[str]) -> AsyncGenerator[HistoryBatch, None]:
    """The lists of single connectors, a few at a time, gathered into batches of about a thousand jobs."""
    stretches: asyncio.Queue[_Stretch | Exception | None] = asyncio.Queue(maxsize=2 * CONCURRENCY)
    names = iter(connectors)
    workers = [asyncio.ensure_future(_read(jobs, names, stretches)) for _ in range(CONCURRENCY)]
    at_work = len(workers)
    gathered: list[JobFact] = []
    finished: set[str] = set()
    failure: Exception | None = None
    try:
        while at_work and failure is None:
            match await stretches.get():
                case None:
                    at_work -= 1
                case Exception() as error:
                    failure = error
                case (facts, name):
                    gathered.extend(facts)
                    finished.update(() if name is None else (name,))
            if len(gathered) >= _BATCH:
                yield HistoryBatch(jobs=gathered, finished=frozenset(finished))
                gathered, finished = [], set()
        if gathered or finished:
            yield HistoryBatch(jobs=gathered, finished=frozenset(finished))
        if failure is not None:
            raise failure
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _read(jobs: JobList, names: Iterable[str], stretches: "asyncio.Queue[_Stretch | Exception | None]") -> None:
    try:
        for name in names:
            async for page in jobs.pages(connector_id=name):
                await stretches.put((_readable(page.results), None))
            await stretches.put(([], name))
    except Exception as error:
        await stretches.put(error)
    await stretches.put(None)


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
