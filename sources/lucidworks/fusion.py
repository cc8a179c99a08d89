"""The dialect of Fusion: one list of all jobs, or one job for each data source where there is no such list (§11)."""

from collections.abc import Collection
from typing import Any

from connectory.http.client import segment
from sources.base import SourceAuthFailed, SourceError, SourceMismatch
from sources.lucidworks import fusion_mapping as mapping
from sources.lucidworks.client import LucidworksClient
from sources.lucidworks.mapping import unread
from sources.lucidworks.runs import RunHistory
from sources.lucidworks.settings import LucidworksSettings
from sources.lucidworks.survey import Sighting, State, Survey, ask_for, history_of, state_of
from sources.reading import LenientReader, identifier
from sources.rounds import failures_of, problems_of

#: Data sources whose history is read together.
SLICE = 25


class FusionDialect:
    """Everything that is asked of one Fusion. A data source's external id is its id, unique in the deployment."""

    history_says_more = True

    def __init__(self, http: LucidworksClient, settings: LucidworksSettings) -> None:
        self._http = http
        self._wanted = settings.collections
        #: whether the server has the job API of Fusion 3.1 and later
        self._has_jobs: bool | None = None

    # ---- the whole

    async def survey(self) -> Survey:
        survey = Survey()
        sources = await self._sources(survey)
        jobs = await self._jobs(survey, sources)
        names = list(sources or {})
        if not self._wanted:
            names += [name for name in jobs if name not in (sources or {})]
        for name in names:
            self._sight(survey, name, (sources or {}).get(name), jobs.get(name))
        failures = failures_of(jobs)
        if failures:
            survey.complete = False
            survey.problems += problems_of(failures, "job of data source")
        if survey.complete:
            survey.covered.add("")
        return survey

    async def _sources(self, survey: Survey) -> dict[str, LenientReader] | None:
        """The data sources by id; None when the server does not tell, or not to us: the job list names them, too."""
        sources: dict[str, LenientReader] = {}
        for collection in self._wanted or (None,):
            try:
                entries = await self._http.find_list(
                    "/connectors/datasources", {"collection": collection} if collection else None
                )
            except SourceAuthFailed as error:
                if error.status != 403 or self._wanted:
                    raise
                return None
            if entries is None and self._wanted:
                raise SourceMismatch("GET /connectors/datasources: without it nothing tells who is in which collection")
            if entries is None:
                return None
            for place, sent in enumerate(entries):
                try:
                    entry = LenientReader(sent)
                except SourceMismatch as error:
                    survey.complain(f"entry {place} of the data sources: {error}")
                    continue
                name = entry("id", identifier)
                if name is None:
                    survey.complain(f"entry {place} of the data sources: id: missing or not readable")
                else:
                    sources.setdefault(name, entry)
        return sources

    async def _jobs(self, survey: Survey, sources: dict[str, LenientReader] | None) -> dict[str, Any]:
        """What was sent of each data source's job, by id; or the error of asking."""
        entries = await self._job_list()
        if entries is None:
            if sources is None:
                raise SourceMismatch(
                    'GET /jobs: no such route, nor data sources. For LucidWorks Search, set dialect = "search"'
                )
            self._has_jobs = False
            return dict(await ask_for(sources, lambda name: self._http.find_of(_connector_job(name))))
        jobs: dict[str, Any] = {}
        for place, sent in enumerate(entries):
            try:
                name = mapping.source_of(LenientReader(sent))
            except SourceMismatch as error:
                survey.complain(f"entry {place} of the jobs: {error}")
                continue
            if name:
                jobs.setdefault(name, sent)
        return jobs

    async def _job_list(self) -> list[Any] | None:
        """All jobs of data sources; None when the server has no such route."""
        if self._has_jobs is False:
            return None
        entries = await self._http.find_list("/jobs", {"type": "datasource"})
        if entries is not None:
            self._has_jobs = True
        return entries

    def _sight(self, survey: Survey, name: str, entry: LenientReader | None, sent: Any) -> None:
        job, run, unreadable = None, None, isinstance(sent, SourceError)
        if not unreadable and sent:
            try:
                job = LenientReader(sent)
                run = mapping.run(job)
            except SourceMismatch as error:
                survey.complain(f"job of data source {name}: {error}")
                job, unreadable = None, True
        fact = mapping.connector(name, entry, job)
        for part in (entry, job):
            if part is not None:
                survey.note(f"data source {name}", part.complaints)
        if unreadable:
            survey.unread[name] = unread(fact)
        else:
            survey.sightings[name] = Sighting(fact, run)

    # ---- one by one

    async def state(self, source: str) -> State:
        if self._has_jobs is None:
            self._has_jobs = await self._job_list() is not None
        path = _resource(source) if self._has_jobs else _connector_job(source)
        return state_of(await self._http.find_of(path), mapping.run)

    async def states(self, sources: Collection[str]) -> dict[str, State | SourceError]:
        try:
            entries = await self._job_list()
        except SourceError as error:
            return dict.fromkeys(sources, error)
        if entries is None:
            return await ask_for(sources, self.state)
        found: dict[str, State | SourceError] = dict.fromkeys(sources, State())
        for sent in entries:
            try:
                name = mapping.source_of(LenientReader(sent))
            except SourceMismatch:
                continue
            if name in found:
                try:
                    found[name] = state_of(sent, mapping.run)
                except SourceMismatch as error:
                    found[name] = error
        return found

    # ---- history

    def groups(self, sources: Collection[str]) -> list[list[str]]:
        members = sorted(sources)
        return [members[at : at + SLICE] for at in range(0, len(members), SLICE)]

    async def histories(self, sources: Collection[str]) -> dict[str, RunHistory | SourceError]:
        return await ask_for(sources, self._history)

    async def _history(self, source: str) -> RunHistory:
        path = (
            f"{_resource(source)}/history" if self._has_jobs is not False else f"/connectors/history/{segment(source)}"
        )
        return history_of(await self._http.find_of(path), mapping.run)


def _resource(source: str) -> str:
    return f"/jobs/{mapping.RESOURCE}{segment(source)}"


def _connector_job(source: str) -> str:
    return f"/connectors/jobs/{segment(source)}"
