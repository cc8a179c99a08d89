"""Where in the list the jobs stood when it was last read, which tells how many have come since (elastic.md §3).

The list is sorted by the server's clock. When that was wrong for a while, new jobs do not come first: behind jobs that
seem to be of the future, or among old ones. Times do not show it, but whatever comes in moves all below it down.
"""

from collections.abc import Sequence

from sources.elastic.client import RESULT_WINDOW, ElasticClient
from sources.elastic.listing import names
from sources.elastic.mapping import read_job
from sources.paging import all_new_met

#: Up to so many jobs may have been deleted until a place says nothing any more.
_MARGIN = 100


class Places:
    """The newest jobs in the order in which the list told them."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._known: set[str] = set()
        self._last: set[str] = set()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._order)

    async def moved(self, client: ElasticClient) -> int | None:
        """By how many places the end of what is known has moved down.

        Costs a request where the list is longer than ``count`` can tell; None where ``count`` will tell it.
        """
        if not self._order or self._count < RESULT_WINDOW:
            return None
        place = len(self._order) - _margin(self._order)
        there = names((await client.jobs(place, 1, read_job)).results)
        try:
            return place - self._order.index(there[0])
        except (IndexError, ValueError):
            return RESULT_WINDOW  # there is nothing that was known: all is read again

    def all_found(self, read: Sequence[str], last_page: Sequence[str], count: int, moved: int | None) -> bool:
        """Whether all that is new is among ``read``, the beginning of the list, which ends with ``last_page``."""
        if not self._order:
            return True
        new = self._new(read)
        came = count - self._count if moved is None else moved
        return all_new_met(len(new), came, ends_known=new.isdisjoint(last_page))

    def _new(self, read: Sequence[str]) -> set[str]:
        """Those that were not met before; but what stands below all that was met is only further back."""
        end = max((place for place, name in enumerate(read) if name in self._last), default=len(read))
        return set(read[:end]) - self._known

    def keep(self, read: Sequence[str], count: int) -> None:
        """``read`` is the beginning of the list as it is now."""
        listed = dict.fromkeys(read)
        last = max((place for place, name in enumerate(self._order) if name in listed), default=None)
        rest = [] if last is None else self._order[last + 1 :]
        self._order = [*listed, *rest][:RESULT_WINDOW]
        self._known, self._last = set(self._order), set(self._order[-_margin(self._order) :])
        self._count = count


def _margin(order: Sequence[str]) -> int:
    return min(_MARGIN, 1 + len(order) // 10)
