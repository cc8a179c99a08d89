"""Asking the same of many, a few at a time, and not for ever when nobody answers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable

#: Requests at once.
CONCURRENCY = 4
#: After so many could not be reached, the rest is not asked.
PATIENCE = 3

_Name = TypeVar("_Name")
_Told = TypeVar("_Told")


@dataclass
class Round(Generic[_Name, _Told]):
    """What came of asking many."""

    told: dict[_Name, _Told] = field(default_factory=dict)
    #: of those that were asked in vain, the first error first
    failures: dict[_Name, SourceError] = field(default_factory=dict)
    #: not asked any more, after what others answered
    unasked: list[_Name] = field(default_factory=list)
    #: the error after which they were not asked, where it was one
    ended_by: SourceError | None = None

    def first(self, kind: type[SourceError] = SourceError) -> SourceError | None:
        """The first error of this kind."""
        return next((error for error in self.failures.values() if isinstance(error, kind)), None)

    def take_out(self, kind: type[SourceError]) -> set[_Name]:
        """Those whose error is an answer, such as that there is no such thing any more; they have not failed."""
        found = {name for name, error in self.failures.items() if isinstance(error, kind)}
        self.failures = {name: error for name, error in self.failures.items() if name not in found}
        return found


def concerns_all(error: SourceError) -> bool:
    """Whether an error that came of one would come of the others too."""
    return isinstance(error, SourceAuthFailed | SourceRateLimited)


def is_silent(outcome: object) -> bool:
    return isinstance(outcome, SourceUnreachable)


async def ask_each(
    names: Iterable[_Name],
    ask: Callable[[_Name], Awaitable[_Told]],
    *,
    concerns_all: Callable[[SourceError], bool] = concerns_all,
    is_silent: Callable[[_Told | SourceError], bool] = is_silent,
    patience: int = PATIENCE,
) -> Round[_Name, _Told]:
    """What ``ask`` gave or raised for each name.

    An error that ``concerns_all``, and as many silent outcomes as there is ``patience``, end the round.
    """
    round_, waiting, silent = Round[_Name, _Told](), deque(dict.fromkeys(names)), 0

    async def work() -> None:
        nonlocal silent
        while waiting:
            name = waiting.popleft()
            failure: SourceError | None = None
            try:
                told = round_.told[name] = await ask(name)
                silent += is_silent(told)
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


async def ask_all(names: Iterable[_Name], ask: Callable[[_Name], Awaitable[_Told]]) -> dict[_Name, _Told]:
    """What ``ask`` gave for each name. Raises the first error, and then the rest is not asked."""
    round_ = await ask_each(names, ask, concerns_all=lambda _: True)
    if failure := round_.first():
        raise failure
    return round_.told
