"""Asking the same of many data sources, and what became of it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from connectory.model import Problem
from sources import rounds
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable

_T = TypeVar("_T")


def _concerns_all(error: SourceError) -> bool:
    """Refused credentials may be about one collection alone."""
    return isinstance(error, SourceRateLimited)


async def ask_each(names: Iterable[str], ask: Callable[[str], Awaitable[_T]]) -> dict[str, _T | SourceError]:
    """What ``ask`` gave or raised for each name. Whoever was not asked any more has the error that ended the round."""
    round_ = await rounds.ask_each(names, ask, concerns_all=_concerns_all)
    found: dict[str, _T | SourceError] = {**round_.told, **round_.failures}
    if round_.ended_by is not None:
        found |= dict.fromkeys(round_.unasked, round_.ended_by)
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
        problems.append(error.problem(f"{what} {names[0]}{others}"))
    return problems


def gravest(failures: Iterable[SourceError]) -> SourceError:
    """The one to raise when there was nothing else: refused credentials, a limit, silence, anything."""
    order = (SourceAuthFailed, SourceRateLimited, SourceUnreachable, SourceError)
    return min(failures, key=lambda error: next(place for place, kind in enumerate(order) if isinstance(error, kind)))
