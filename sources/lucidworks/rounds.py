"""Asking the same of many, a few at a time, and not for ever when nobody answers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from connectory.model import Problem
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable

#: Requests at once.
CONCURRENCY = 4
#: After so many could not be reached, the rest is not asked.
PATIENCE = 3

_T = TypeVar("_T")


async def ask_each(names: Iterable[str], ask: Callable[[str], Awaitable[_T]]) -> dict[str, _T | SourceError]:
    """What ``ask`` gave or raised for each name. Whoever was not asked any more has the error that ended the round."""
    waiting = deque(dict.fromkeys(names))
    found: dict[str, _T | SourceError] = {}
    failures = 0

    async def work() -> None:
        nonlocal failures
        while waiting:
            name = waiting.popleft()
            try:
                found[name] = await ask(name)
            except SourceError as error:
                found[name] = error
                failures += isinstance(error, SourceUnreachable)
                if isinstance(error, SourceRateLimited) or failures >= PATIENCE:
                    found.update(dict.fromkeys(waiting, error))
                    waiting.clear()

    await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(waiting)))))
    return found


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
        problems.append(
            Problem(error.code, f"{what} {names[0]}{others}: {error}", retry_after=getattr(error, "retry_after", None))
        )
    return problems


def gravest(failures: Iterable[SourceError]) -> SourceError:
    """The one to raise when there was nothing else: refused credentials, a limit, silence, anything."""
    order = (SourceAuthFailed, SourceRateLimited, SourceUnreachable, SourceError)
    return min(failures, key=lambda error: next(place for place, kind in enumerate(order) if isinstance(error, kind)))
