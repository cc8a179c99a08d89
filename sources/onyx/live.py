"""The live lane: open attempts alone, by the fewest requests that tell them (onyx.md §5)."""

from collections.abc import Set as AbstractSet

from connectory.model import Known, Observation
from sources.base import SourceError, by_connector
from sources.gathering import Gathered
from sources.onyx import mapping
from sources.onyx.client import OnyxClient, PairUnknown
from sources.rounds import ask_each

#: Attempts asked for beyond those that are wanted, and on the page that is asked for when one was not among them.
MARGIN, LARGE_PAGE = 3, 100


async def look(http: OnyxClient, known: Known, jobs: AbstractSet[str]) -> Observation:
    """These open jobs as they are now, and newer ones of their cc-pairs. Raises when nothing could be read.

    An attempt that its pair no longer serves is gone; whether a pair itself is gone is left to the list to say.
    """
    wanted = by_connector(known, sorted(job for job in jobs if job.isdecimal()))
    seen = Gathered()
    round_ = await ask_each(filter(str.isdecimal, wanted), lambda pair: _read_pair(http, seen, pair, wanted[pair]))
    round_.take_out(PairUnknown)
    if round_.in_vain:
        round_.raise_first(SourceError)
    seen.problems += round_.problems("open attempts of cc-pair")
    return seen.as_look()


async def _read_pair(http: OnyxClient, seen: Gathered, pair: str, wanted: set[str]) -> None:
    """A small page, where attempts that are open stand first; a large one when that lacks one of them."""
    oldest = min(map(int, wanted))
    for size in (len(wanted) + MARGIN, LARGE_PAGE):
        items, _ = await http.attempts(pair, 0, size)
        jobs, problems = await mapping.jobs(items, pair)
        page = {job.external_id: job for job in jobs}
        missing = wanted - page.keys()
        if not missing or len(items) < size:
            break
    seen.problems += problems
    # attempts that never started stand before all others, whatever their age: only a started one tells how far it goes
    reached = len(items) < size or any(job.started_at and (job.sequence or 0) <= oldest for job in jobs)
    if reached and not problems:
        seen.gone |= missing
    # newer attempts are told when none between them and the wanted ones is left out: a poll reads no further than these
    seen.add(page.values() if reached else [page[job] for job in wanted & page.keys()])
