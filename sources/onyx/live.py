"""The live lane: open attempts alone, by the fewest requests that tell them (onyx.md §5)."""

import asyncio
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from connectory.model import JobFact, Known, Observation, Problem
from sources.base import SourceAuthFailed, SourceError, SourceRateLimited, SourceUnreachable
from sources.onyx.wire import OnyxClient, PairUnknown, read_attempts

#: Attempts asked for beyond those that are wanted, and on the page that is asked for when one was not among them.
MARGIN, LARGE_PAGE = 3, 100
#: cc-pairs whose attempts are read at once.
CONCURRENCY = 4
#: After so many pairs could not be reached, the rest are left to the next look.
PATIENCE = 3


@dataclass
class _Look:
    waiting: deque[tuple[str, set[str]]]
    jobs: list[JobFact] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)
    #: whether any page was read
    answered: bool = False


async def look(http: OnyxClient, known: Known, jobs: AbstractSet[str]) -> Observation:
    """These open jobs as they are now, and newer ones of their cc-pairs. Raises when nothing could be read.

    An attempt that its pair no longer serves is gone; whether a pair itself is gone is left to the list to say.
    """
    pairs: dict[str, set[str]] = {}
    for job in sorted(jobs):
        pair = known.open_jobs.get(job)
        if pair is not None and pair.isdecimal() and job.isdecimal():
            pairs.setdefault(pair, set()).add(job)
    seen = _Look(deque(pairs.items()))
    await asyncio.gather(*(_read_waiting(http, seen) for _ in range(min(CONCURRENCY, len(pairs)))))
    if seen.failures and not seen.answered:
        raise seen.failures[0]
    return Observation(
        connectors=[], jobs=seen.jobs, complete=False, gone_jobs=frozenset(seen.gone), problems=seen.problems
    )


async def _read_waiting(http: OnyxClient, seen: _Look) -> None:
    while seen.waiting:
        pair, wanted = seen.waiting.popleft()
        try:
            await _read_pair(http, seen, pair, wanted)
        except PairUnknown:
            seen.answered = True
        except SourceError as error:
            seen.failures.append(error)
            wait = getattr(error, "retry_after", None)
            seen.problems.append(Problem(error.code, f"open attempts of cc-pair {pair}: {error}", retry_after=wait))
            unreachable = sum(isinstance(failure, SourceUnreachable) for failure in seen.failures)
            if isinstance(error, SourceAuthFailed | SourceRateLimited) or unreachable >= PATIENCE:
                seen.waiting.clear()


async def _read_pair(http: OnyxClient, seen: _Look, pair: str, wanted: set[str]) -> None:
    """A small page, where attempts that are open stand first; a large one when that lacks one of them."""
    oldest = min(map(int, wanted))
    for size in (len(wanted) + MARGIN, LARGE_PAGE):
        items, _ = await http.attempts(pair, 0, size)
        jobs, problems = read_attempts(items, pair)
        told = {job.external_id: job for job in jobs}
        missing = wanted - told.keys()
        if not missing or len(items) < size:
            break
    seen.answered = True
    seen.problems += problems
    # attempts that never started stand before all others, whatever their age: only a started one tells how far it goes
    reached = len(items) < size or any(job.started_at and (job.sequence or 0) <= oldest for job in jobs)
    if reached and not problems:
        seen.gone |= missing
    # newer attempts are told when none between them and the wanted ones is left out: a poll reads no further than these
    seen.jobs += told.values() if reached else [told[job] for job in wanted & told.keys()]
