"""Asking the same of many, a few at a time, and not for ever when nobody answers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from connectory.model import Problem
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable

#: Requests at once.
CONCURRENCY = 4
#: After so many could not be reached, the rest is not asked.
PATIENCE = 3

_Name = TypeVar("_Name")
_Answer = TypeVar("_Answer")


@dataclass
class Round(Generic[_Name, _Answer]):
    """What came of asking many."""

    answers: dict[_Name, _Answer] = field(default_factory=dict)
    #: of those that were asked in vain, the first error first
    failures: dict[_Name, SourceError] = field(default_factory=dict)
    #: not asked any more, after what others answered
    unasked: list[_Name] = field(default_factory=list)
    #: the error after which they were not asked, where it was one
    ended_by: SourceError | None = None
    #: those whose error was an answer
    taken_out: set[_Name] = field(default_factory=set)

    @property
    def unread(self) -> set[_Name]:
        """Those that told nothing, asked in vain or not at all."""
        return {*self.failures, *self.unasked}

    @property
    def in_vain(self) -> bool:
        """Whether there was trouble and nobody told anything."""
        return bool(self.failures) and not self.answers and not self.taken_out

    def first(self, kind: type[SourceError] = SourceError) -> SourceError | None:
        """The first error of this kind."""
        return next((error for error in self.failures.values() if isinstance(error, kind)), None)

    def take_out(self, kind: type[SourceError]) -> set[_Name]:
        """Those whose error is an answer, such as that there is no such thing any more; they have not failed."""
        found = {name for name, error in self.failures.items() if isinstance(error, kind)}
        self.failures = {name: error for name, error in self.failures.items() if name not in found}
        self.taken_out |= found
        return found

    def raise_first(self, kind: type[SourceError]) -> None:
        """Raises the first error of this kind, where there was one."""
        if error := self.first(kind):
            raise error

    def problems(self, what: str) -> list[Problem]:
        """One for each that was asked in vain; ``what`` stands before its name."""
        return [error.problem(f"{what} {name}") for name, error in self.failures.items()]

    def outcomes(self) -> dict[_Name, _Answer | SourceError]:
        """What each told or failed with. Whoever was not asked any more has the error that ended the round."""
        found: dict[_Name, _Answer | SourceError] = {**self.answers, **self.failures}
        if self.ended_by is not None:
            found |= dict.fromkeys(self.unasked, self.ended_by)
        return found


def concerns_all(error: SourceError) -> bool:
    """Whether an error that came of one would come of the others too."""
    return isinstance(error, SourceAuthFailed | SourceRateLimited)


def is_silent(outcome: object) -> bool:
    return isinstance(outcome, SourceUnreachable)


async def ask_each(
    names: Iterable[_Name],
    ask: Callable[[_Name], Awaitable[_Answer]],
    *,
    concerns_all: Callable[[SourceError], bool] = concerns_all,
    is_silent: Callable[[_Answer | SourceError], bool] = is_silent,
    patience: int = PATIENCE,
) -> Round[_Name, _Answer]:
    """What ``ask`` gave or raised for each name.

    An error that ``concerns_all``, and as many silent outcomes as there is ``patience``, end the round.
    """
    round_, waiting, silent = Round[_Name, _Answer](), deque(dict.fromkeys(names)), 0

    async def work() -> None:
        nonlocal silent
        while waiting:
            name = waiting.popleft()
            failure: SourceError | None = None
            try:
                answer = round_.answers[name] = await ask(name)
                silent += is_silent(answer)
            except SourceError as error:
                failure = round_.failures[name] = error
                silent += is_silent(error)
            if waiting and (silent >= patience or (failure is not None and concerns_all(failure))):
                round_.unasked, round_.ended_by = list(waiting), failure
                waiting.clear()

    workers = [asyncio.ensure_future(work()) for _ in range(min(CONCURRENCY, len(waiting)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return round_


async def ask_all(names: Iterable[_Name], ask: Callable[[_Name], Awaitable[_Answer]]) -> dict[_Name, _Answer]:
    """What ``ask`` gave for each name. Raises the first error, and then the rest is not asked."""
    round_ = await ask_each(names, ask, concerns_all=lambda _: True)
    if failure := round_.first():
        raise failure
    return round_.answers


# ---- outcomes: what was told, or the error in its place


def failures_of(found: Mapping[str, object]) -> dict[str, SourceError]:
    return {name: outcome for name, outcome in found.items() if isinstance(outcome, SourceError)}


def problems_of(failures: Mapping[str, SourceError], what: str) -> list[Problem]:
    """One problem for each error; it names one of those concerned, and how many others share it."""
    sharing: dict[int, list[str]] = {}
    for name, error in failures.items():
        sharing.setdefault(id(error), []).append(name)
    problems = []
    for names in sharing.values():
        error = failures[names[0]]
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        problems.append(error.problem(f"{what} {names[0]}{others}"))
    return problems


def gravest(failures: Iterable[SourceError]) -> SourceError:
    """The one to raise when there was nothing else: refused credentials, a limit, silence, anything."""
    order = (SourceAuthFailed, SourceRateLimited, SourceUnreachable, SourceError)
    return min(failures, key=lambda error: next(place for place, kind in enumerate(order) if isinstance(error, kind)))
