"""The adapter that the engine polls: connectors first, then the jobs that are new or open (elastic.md §3)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from connectory.model import ConnectorFact, HistoryBatch, Known, Observation, Problem, SystemErrorCode
from sources.base import Source, SourceMismatch
from sources.elastic.client import RESULT_WINDOW, ElasticClient
from sources.elastic.history import read_history
from sources.elastic.jobs import JobReader
from sources.elastic.listing import JobList
from sources.elastic.mapping import connector_fact, named
from sources.elastic.settings import ElasticSettings

_PAGE = 2_000


class ElasticSource(Source):
    """One Elasticsearch, in the engine's words. Raises only SourceError."""

    def __init__(self, settings: ElasticSettings) -> None:
        self.client = ElasticClient(settings)
        self._jobs = JobList(self.client)
        self._reader = JobReader(self.client, self._jobs)

    async def poll(self, known: Known) -> Observation:
        """All connectors, and the jobs that are new, open or owed since ``known``.

        A first poll reads the newest thousand jobs and all open ones; the rest is history. Without the list of
        connectors there is no observation; without jobs there is one, with a problem.
        """
        connectors = await self._connectors(known)
        jobs = await self._reader.read(known, connectors.changed)
        jobs.problems[:0] = connectors.problems
        return jobs.as_poll(connectors.facts.values(), complete=not connectors.problems)

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncGenerator[HistoryBatch, None]:
        """Every job that is still served of these connectors, newest first of each."""
        async with aclosing(read_history(self.client, self._jobs, known, connectors)) as batches:
            async for batch in batches:
                yield batch

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """These open jobs as they are now, and others that the same requests tell of."""
        return (await self._reader.look(known, jobs)).as_look()

    async def close(self) -> None:
        await self.client.close()

    async def _connectors(self, known: Known) -> "_Connectors":
        """The whole list. Ties in its order can swap between pages, so a list that came short is read once more."""
        read = await self._pass(known)
        if read.short:
            again = await self._pass(known)
            if again.short:
                again.add(read)
            read = again
        if read.short:
            read.mismatch(f"connectors: {len(read.facts)} of {read.count} were served, twice; the list is not complete")
        elif read.count >= RESULT_WINDOW and await self._more_than(read):
            read.mismatch(
                f"connectors: there are more than {RESULT_WINDOW:,}, and Elasticsearch lists no more than that"
            )
        return read

    async def _pass(self, known: Known) -> "_Connectors":
        read = _Connectors(known)
        offset = 0
        while True:
            before = read.total
            page = await self.client.connectors(offset, _PAGE, read.take)
            read.count = page.count
            offset += len(page.results)
            # a page without anything new would come again and again
            if read.total == before or offset >= min(page.count, RESULT_WINDOW):
                return read

    async def _more_than(self, read: "_Connectors") -> bool:
        """Whether connectors lie beyond the result window, where ``count`` only says 10,000.

        The connectors read are parted in two by their service type, so that each part's count stays within the window
        and can be compared. Not to be seen are others whose type no connector that was read has.
        """
        if read.count > RESULT_WINDOW:
            return True
        sizes: dict[str, int] = {}
        for service_type in read.service_types.values():
            sizes[service_type] = sizes.get(service_type, 0) + 1
        parts: tuple[list[str], list[str]] = ([], [])
        seen = [0, 0]
        for service_type, size in sorted(sizes.items(), key=lambda item: -item[1]):
            smaller = seen.index(min(seen))
            parts[smaller].append(service_type)
            seen[smaller] += size
        for part, number in zip(parts, seen, strict=True):
            if number >= RESULT_WINDOW:
                return True
            if part and (await self.client.connectors(0, 0, read.take, service_type=",".join(part))).count > number:
                return True
        return False


@dataclass
class _Connectors:
    """One pass over the list."""

    known: Known
    count: int = 0
    facts: dict[str, ConnectorFact] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    nameless: int = 0
    problems: list[Problem] = field(default_factory=list)
    service_types: dict[str, str] = field(default_factory=dict)
    #: ids of those whose facts are not what was stored
    changed: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        return len(self.facts) + len(self.unreadable) + self.nameless

    @property
    def short(self) -> bool:
        return self.total < min(self.count, RESULT_WINDOW)

    def take(self, sent: object) -> None:
        try:
            fact = connector_fact(sent)
        except SourceMismatch as mismatch:
            name = named(sent)
            if name is None:
                self.nameless += 1
            else:
                self.unreadable.add(name)
            self.mismatch(f"connector {name or 'without id'}: {mismatch}")
            return
        self.facts[fact.external_id] = fact
        # asked here, between the turns of the event loop: a fingerprint costs a tenth of the mapping
        if not self.known.unchanged(fact):
            self.changed.add(fact.external_id)
        if isinstance(sent, dict) and isinstance(service_type := sent.get("service_type"), str):
            self.service_types[fact.external_id] = service_type

    def add(self, earlier: "_Connectors") -> None:
        """Take over what only an earlier pass has seen."""
        self.facts = {**earlier.facts, **self.facts}
        self.changed |= earlier.changed
        self.service_types = {**earlier.service_types, **self.service_types}

    def mismatch(self, message: str) -> None:
        self.problems.append(Problem(SystemErrorCode.MISMATCH, message))
