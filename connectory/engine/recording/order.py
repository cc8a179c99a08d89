"""Where a job stands among the jobs: microseconds since 1970, immutable once given.

Most upstreams tell when a job was created. Onyx tells a running number and, at best, when a worker began: there the
numbers decide, and the time only places the job among those of other systems.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Sequenced:
    """The numbered jobs of one system. ``place`` keeps their order equal to that of their numbers."""

    def __init__(self, placed: Iterable[tuple[int, int]]) -> None:
        """``placed``: (sequence, created_order) of the jobs that have a place."""
        pairs = sorted(placed)
        self._sequences = [sequence for sequence, _ in pairs]
        self._orders = [order for _, order in pairs]

    def place(self, sequence: int, moment: datetime) -> int:
        """The created_order of a new job: its time, moved in between those of the next numbers where it disagrees."""
        order = microseconds(moment)
        at = bisect_left(self._sequences, sequence)
        # jobs stay as many microseconds apart as their numbers: so there is room for all that lie between
        if at < len(self._orders):
            order = min(order, self._orders[at] - (self._sequences[at] - sequence))
        if at > 0:
            order = max(order, self._orders[at - 1] + (sequence - self._sequences[at - 1]))
        self._sequences.insert(at, sequence)
        self._orders.insert(at, order)
        return order
