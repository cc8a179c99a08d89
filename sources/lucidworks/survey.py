"""What a dialect tells the source of its data sources, and what it can be asked."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from connectory.model import ConnectorFact, Problem, SystemErrorCode
from sources.base import SourceError, SourceMismatch, SourceRateLimited
from sources.lucidworks.runs import Run, RunHistory, job_id
from sources.reading import LenientReader, mismatches
from sources.rounds import ask_each

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sighting:
    """A data source and its latest run, None when it never ran."""

    connector: ConnectorFact
    run: Run | None


@dataclass
class Survey:
    """All data sources, by external id."""

    sightings: dict[str, Sighting] = field(default_factory=dict)
    #: listed, but what state they are in could not be read
    unread: dict[str, ConnectorFact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    #: nothing that the upstream lists is missing here
    complete: bool = True
    #: prefixes of the external ids that were listed in full
    covered: set[str] = field(default_factory=set)

    def complain(self, message: str) -> None:
        """Something that kept an entry out."""
        self.complete = False
        self.problems.append(Problem(SystemErrorCode.MISMATCH, message))

    def note(self, what: str, complaints: Collection[str]) -> None:
        """Single values that were kept out of an entry."""
        self.problems += mismatches(what, complaints)

    def add(self, other: "Survey") -> None:
        self.sightings |= other.sightings
        self.unread |= other.unread
        self.problems += other.problems
        self.complete = self.complete and other.complete
        self.covered |= other.covered

    def lacks(self, source: str) -> bool:
        """Whether it was certainly not listed."""
        known = source in self.sightings or source in self.unread
        return not known and any(source.startswith(prefix) for prefix in self.covered)


@dataclass(frozen=True)
class State:
    """What was told of a data source's latest run."""

    run: Run | None = None
    complaints: tuple[str, ...] = ()


#: How a dialect reads the run that an entry tells of; None when there was none.
RunReader = Callable[[LenientReader], Run | None]


def state_of(sent: object, read: RunReader) -> State:
    """Of a state as it was sent; nothing, ``null`` and an empty object stand for one that never ran.

    Raises SourceMismatch when it cannot be read.
    """
    if sent is None or sent == {}:
        return State()
    entry = LenientReader(sent)
    run = read(entry)
    return State(run, tuple(entry.complaints))


def history_of(sent: object, read: RunReader) -> RunHistory:
    """Of a history as it was sent; of two entries of one run the later one counts.

    Entries that cannot be read become complaints. Raises SourceMismatch when it is no list.
    """
    if sent is None:
        return RunHistory()
    if not isinstance(sent, list):
        raise SourceMismatch(f"expected a history, got {type(sent).__name__}")
    runs: dict[str, Run] = {}
    complaints: list[str] = []
    for place, item in enumerate(sent):
        try:
            entry = LenientReader(item)
            run = read(entry)
            if run is None:
                raise SourceMismatch("it tells no start")
        except SourceMismatch as error:
            complaints.append(f"entry {place} of the history: {error}")
            continue
        complaints += [f"run of {run.started:%Y-%m-%dT%H:%M:%SZ}: {complaint}" for complaint in entry.complaints]
        runs[job_id("", run.started)] = run
    return RunHistory(tuple(runs.values()), tuple(complaints))


async def ask_for(names: Iterable[str], ask: Callable[[str], Awaitable[_T]]) -> dict[str, _T | SourceError]:
    """What ``ask`` gave or raised for each name. Refused credentials may be about one collection alone."""
    round_ = await ask_each(names, ask, concerns_all=lambda error: isinstance(error, SourceRateLimited))
    return round_.outcomes()


class Dialect(Protocol):
    """One of the two APIs. Data sources go by their external ids; an error of one of many stands in its place."""

    #: what history tells of a run that has just ended goes beyond its last state
    history_says_more: bool

    async def survey(self) -> Survey:
        """Every data source and its latest run. Raises SourceError when nothing at all could be read."""

    async def state(self, source: str) -> State:
        """The latest run of one data source. Raises SourceError."""

    async def states(self, sources: Collection[str]) -> dict[str, State | SourceError]:
        """The latest runs of many that belong to one group."""

    async def histories(self, sources: Collection[str]) -> dict[str, RunHistory | SourceError]:
        """Their ended runs; none of those that are not there any more."""

    def groups(self, sources: Collection[str]) -> list[list[str]]:
        """The data sources in groups that are read together."""
