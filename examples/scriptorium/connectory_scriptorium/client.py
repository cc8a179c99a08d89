"""Scriptorium over HTTP: the list of desks, and batches from the newest back to what is known already."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import Field

from connectory.http.client import HttpClient
from connectory.http.headers import bearer
from connectory.model import HistoryBatch, JobFact, Known, Observation, Problem
from connectory_scriptorium import mapping
from sources.base import Source, SourceMismatch, SystemSettings, Token
from sources.reading import text
from sources.rounds import ask_all

_Fact = TypeVar("_Fact")


class ScriptoriumSettings(SystemSettings):
    token: Token = Field(description="the number of a reader's card")


class ScriptoriumSource(Source):
    def __init__(self, settings: ScriptoriumSettings) -> None:
        self.http = HttpClient(settings, headers={"Authorization": bearer(settings.token)})

    async def poll(self, known: Known) -> Observation:
        """Two requests while nothing is new. At first one page is enough: the rest is left to ``history``."""
        desks, unread = _read(await self.http.get("/desks"), "desks", mapping.connector)
        jobs, problems, newest = list[JobFact](), list[Problem](), known.newest_job_at
        async for page, amiss in self._pages():
            jobs += page
            problems += amiss
            if newest is None or any(job.order_at <= newest for job in page):
                break
        older = await self.look(known, frozenset(known.open_jobs.keys() - {job.external_id for job in jobs}))
        problems = [*unread, *problems, *older.problems]
        return replace(older, connectors=desks, jobs=[*jobs, *older.jobs], complete=not unread, problems=problems)

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """One request for each batch, a few at a time."""
        sent = await ask_all(sorted(jobs), lambda job: self.http.get(f"/batches/{job}", missing_ok=True))
        gone = frozenset(job for job, one in sent.items() if one is None)
        facts, problems = _read({"batches": [one for one in sent.values() if one is not None]}, "batches", mapping.job)
        return Observation(connectors=[], jobs=facts, complete=False, gone_jobs=gone, problems=problems)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        for desk in sorted(connectors):
            async for jobs, _ in self._pages(desk=desk):
                yield HistoryBatch(jobs=jobs)
            yield HistoryBatch(jobs=(), finished=frozenset({desk}))

    async def close(self) -> None:
        await self.http.close()

    async def _pages(self, **query: str) -> AsyncIterator[tuple[list[JobFact], list[Problem]]]:
        """Batches, newest first. Each page names the next one."""
        cursor: str | None = ""
        while cursor is not None:
            sent = await self.http.get("/batches", {**query, "cursor": cursor})
            yield _read(sent, "batches", mapping.job)
            cursor = text(sent.get("next"))


def _read(sent: Any, key: str, mapped: Callable[[object], _Fact]) -> tuple[list[_Fact], list[Problem]]:
    """The facts in the list under ``key``, and a problem for each entry that gives none: it costs no other."""
    entries = sent.get(key) if isinstance(sent, Mapping) else None
    if not isinstance(entries, list):
        raise SourceMismatch(f"expected an object with a list of {key}, got {str(sent)[:80]!r}")
    facts, problems = list[_Fact](), list[Problem]()
    for place, entry in enumerate(entries, 1):
        try:
            facts.append(mapped(entry))
        except SourceMismatch as error:
            problems.append(error.problem(f"{key}, entry {place}"))
    return facts, problems
