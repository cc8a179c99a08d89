"""The dialect of LucidWorks Search 2.x: collections, their data sources, and the status of each (lucidworks.md §2).

Where the server answers for ``all`` data sources of a collection at once it is asked so; the pages do not promise it,
so a server that does not is asked for each, and which it is is remembered by collection.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from connectory.http.client import segment
from connectory.model import JsonObject
from sources.base import SourceError, SourceMismatch
from sources.lucidworks import mapping
from sources.lucidworks.client import LucidworksClient
from sources.lucidworks.mapping import place_of, source_id
from sources.lucidworks.redaction import rest
from sources.lucidworks.runs import RunHistory
from sources.lucidworks.settings import LucidworksSettings
from sources.lucidworks.survey import Sighting, State, Survey, ask_for, history_of, state_of
from sources.reading import LenientReader, identifier
from sources.rounds import failures_of, gravest, problems_of

#: From so many data sources of a collection on, one answer for all of them is the cheaper one.
ENOUGH = 4
#: How a server may answer ``all`` where it expects an id: not found, or whatever its parser of numbers comes to.
UNSUPPORTED = frozenset({400, 404, 405, 422, 500, 501})
#: Data sources whose history is read together where each has to be asked.
SLICE = 25


class SearchDialect:
    """Everything that is asked of one LucidWorks Search."""

    history_says_more = False

    def __init__(self, http: LucidworksClient, settings: LucidworksSettings) -> None:
        self._http = http
        self._wanted = settings.collections
        #: (collection, "status" or "history") → whether ``all`` works there
        self._all_works: dict[tuple[str, str], bool] = {}

    # ---- the whole

    async def survey(self) -> Survey:
        survey = Survey()
        listed = dict.fromkeys(self._wanted) or await self._collections(survey)
        names = list(listed)
        self._all_works = {key: works for key, works in self._all_works.items() if key[0] in names}
        found = await ask_for(names, lambda name: self._collection(name, listed[name]))
        failures = failures_of(found)
        if failures and len(failures) == len(names):
            raise gravest(failures.values())
        if failures:
            survey.complete = False
            survey.problems += problems_of(failures, "collection")
        for name in names:
            outcome = found[name]
            if not isinstance(outcome, SourceError):
                survey.add(outcome)
        return survey

    async def _collections(self, survey: Survey) -> dict[str, JsonObject | None]:
        """By name, with what else the list tells of each; None for nothing."""
        names: dict[str, JsonObject | None] = {}
        entries = await self._http.list_at("/collections")
        for number, sent in enumerate(entries):
            name = sent.get("name") if isinstance(sent, Mapping) else None
            if isinstance(name, str) and name:
                names.setdefault(name, rest(LenientReader(sent), {"name"}) or None)
            else:
                survey.complain(f"entry {number} of the collections has no name")
        if entries and not names:
            raise SourceMismatch('GET /collections: no entry has a name. For Fusion, set dialect = "fusion"')
        return names

    async def _collection(self, name: str, about: JsonObject | None) -> Survey:
        """``about``: what the list of collections tells of it."""
        survey = Survey(covered={f"{name}/"})
        sources = self._listed(name, await self._http.list_at(_path(name)), survey)
        statuses = await self._statuses(name, list(sources))
        for number, entry in sources.items():
            self._sight(survey, name, about, entry, statuses[number])
        failures = failures_of(statuses)
        if failures:
            survey.complete = False
            named = {source_id(name, number): error for number, error in failures.items()}
            survey.problems += problems_of(named, "status of data source")
        return survey

    def _listed(self, name: str, entries: Iterable[Any], survey: Survey) -> dict[str, LenientReader]:
        sources: dict[str, LenientReader] = {}
        for place, sent in enumerate(entries):
            try:
                entry = LenientReader(sent)
                number = identifier(entry.sent.get("id"))
            except SourceMismatch as error:
                survey.complain(f"entry {place} of the data sources of {name}: {error}")
                continue
            if number is None:
                survey.complain(f"entry {place} of the data sources of {name}: id: missing")
            else:
                sources.setdefault(number, entry)
        return sources

    def _sight(self, survey: Survey, name: str, about: JsonObject | None, entry: LenientReader, sent: Any) -> None:
        """Take one data source with its status as it was sent, None when it never ran."""
        status, run, unreadable = None, None, isinstance(sent, SourceError)
        what = source_id(name, str(entry.sent.get("id")))
        if not unreadable and sent:
            try:
                status = LenientReader(sent)
                run = mapping.run(status)
            except SourceMismatch as error:
                survey.complain(f"status of data source {what}: {error}")
                status, unreadable = None, True
        fact = mapping.connector(entry, name, status, about)
        survey.note(f"data source {what}", entry.complaints)
        if status is not None:
            survey.note(f"status of data source {what}", status.complaints)
        if unreadable:
            survey.unread[fact.external_id] = mapping.unread(fact)
        else:
            survey.sightings[fact.external_id] = Sighting(fact, run)

    # ---- statuses

    async def _statuses(self, name: str, numbers: Collection[str]) -> dict[str, Any]:
        """What was sent for each data source, None for one that never ran, or the error of asking."""
        if not numbers:
            return {}
        sent = await self._all(name, "status")
        if sent is None:
            found = await ask_for(numbers, lambda number: self._http.find_of(_path(name, number, "status")))
            if len(failures_of(found)) < len(found):
                self._all_works[name, "status"] = False
            return dict(found)
        statuses = dict[str, Any].fromkeys(numbers)
        strangers = False
        for status in sent:
            number = _number_of(status)
            strangers = strangers or number is None
            if number is not None and _is_newer(status, statuses.get(number)):
                statuses[number] = status
        if strangers:  # one of them may be the status of a data source that otherwise has none
            left = [number for number, status in statuses.items() if status is None]
            statuses |= await ask_for(left, lambda number: self._http.find_of(_path(name, number, "status")))
        return {number: statuses[number] for number in numbers}

    async def _all(self, name: str, what: str) -> list[Any] | None:
        """The answer for all data sources of a collection; None when the server has none."""
        if self._all_works.get((name, what)) is False:
            return None
        try:
            sent = await self._http.find(_path(name, "all", what))
        except SourceError as error:
            if error.status not in UNSUPPORTED:
                raise
            return None
        if not isinstance(sent, list):
            return None
        self._all_works[name, what] = True
        return sent

    async def state(self, source: str) -> State:
        name, number = place_of(source)
        return state_of(await self._http.find_of(_path(name, number, "status")), mapping.run)

    async def states(self, sources: Collection[str]) -> dict[str, State | SourceError]:
        name = place_of(next(iter(sources)))[0]
        try:
            sent = await self._statuses(name, [place_of(source)[1] for source in sources])
        except SourceError as error:
            return dict.fromkeys(sources, error)
        return {source: _state_or_error(sent[place_of(source)[1]]) for source in sources}

    # ---- history

    def groups(self, sources: Collection[str]) -> list[list[str]]:
        by_collection: dict[str, list[str]] = {}
        for source in sorted(sources):
            by_collection.setdefault(place_of(source)[0], []).append(source)
        groups = []
        for name, members in by_collection.items():
            size = SLICE if self._all_works.get((name, "history")) is False else len(members)
            groups += [members[at : at + size] for at in range(0, len(members), size)]
        return groups

    async def histories(self, sources: Collection[str]) -> dict[str, RunHistory | SourceError]:
        found: dict[str, RunHistory | SourceError] = {}
        by_collection: dict[str, list[str]] = {}
        for source in sources:
            by_collection.setdefault(place_of(source)[0], []).append(source)
        for name, members in by_collection.items():
            together = await self._all_histories(name, members) if len(members) >= ENOUGH else None
            if together is None:
                together = await ask_for(members, self._history)
                if len(members) >= ENOUGH and len(failures_of(together)) < len(together):
                    self._all_works[name, "history"] = False
            found |= together
        return found

    async def _all_histories(self, name: str, sources: Collection[str]) -> dict[str, RunHistory | SourceError] | None:
        """None when the server does not have the route, or when its answer is not what it should be."""
        try:
            sent = await self._all(name, "history")
        except SourceError as error:
            return dict.fromkeys(sources, error)
        if sent is None:
            return None
        histories: dict[str, Any] = {}
        for entry in sent:
            number = _number_of(entry)
            if number is not None:
                histories.setdefault(number, entry.get("history"))
        try:
            return {source: history_of(histories.get(place_of(source)[1]), mapping.run) for source in sources}
        except SourceMismatch:
            return None

    async def _history(self, source: str) -> RunHistory:
        name, number = place_of(source)
        return history_of(await self._http.find_of(_path(name, number, "history")), mapping.run)


def _path(collection: str, *rest: str) -> str:
    return "/".join([f"/collections/{segment(collection)}/datasources", *map(segment, rest)])


def _number_of(sent: object) -> str | None:
    """The id of an entry of many; None when it cannot be told whose it is."""
    try:
        return identifier(sent.get("id")) if isinstance(sent, Mapping) else None
    except SourceMismatch:
        return None


def _is_newer(status: Mapping[str, Any], than: Mapping[str, Any] | None) -> bool:
    """Of two statuses of one data source: the one whose crawl began later. Their dates sort as text."""
    return than is None or str(status.get("crawl_started") or "") > str(than.get("crawl_started") or "")


def _state_or_error(sent: object) -> State | SourceError:
    try:
        return sent if isinstance(sent, SourceError) else state_of(sent, mapping.run)
    except SourceMismatch as error:
        return error
