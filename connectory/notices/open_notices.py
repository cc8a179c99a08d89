"""What the notifier remembers: the notices that are not over, as the store has them, and when to look again at what."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime

from connectory.model import DeliveryPhase
from connectory.notices.plan import ConditionGone, NextLook, Plan
from connectory.store.reads.notice_state import Notice, SystemState
from connectory.store.reads.notices import open_notices, read_place, told_receivers
from connectory.store.transactions import Transaction


class OpenNotices:
    """Changed only after what it follows has been committed. Owners are global ids of connectors and of systems."""

    def __init__(self, position: int | None, turn: int, sequence: int) -> None:
        #: the notifier's place, see NotifierRow
        self.position, self.turn, self.sequence = position, turn, sequence
        #: by notice
        self.absent: dict[str, ConditionGone] = {}
        self._notified: defaultdict[str, set[str]] = defaultdict(set)
        #: owner → id → notice
        self._notices: defaultdict[str, dict[str, Notice]] = defaultdict(dict)
        self._next_looks: dict[str, NextLook] = {}

    @classmethod
    async def read(cls, connection: Transaction) -> "OpenNotices":
        """As the store has them."""
        place = await read_place(connection)
        found = cls(place.position, place.turn, place.sequence)
        async for rows in open_notices(connection):
            for row in rows:
                found._put(Notice(**row))
        async for deliveries in told_receivers(connection):
            for delivery in deliveries:
                found._notified[delivery.notice_id].add(delivery.receiver)
        return found

    @property
    def owners(self) -> Set[str]:
        """Those of whom a notice is not over."""
        return self._notices.keys()

    def owners_in(self, systems: Collection[str]) -> set[str]:
        """Those of these systems, which are among them where they have notices of their own."""
        if not systems:
            return set()
        of = ((owner, next(iter(notices.values()))) for owner, notices in self._notices.items())
        return {owner for owner, notice in of if notice.system_id in systems}

    def due(self, now: datetime, systems: Mapping[str, SystemState]) -> set[str]:
        """Owners for whom something has come that they wait for; ``systems``: rows by id."""
        return {owner for owner, next_look in self._next_looks.items() if next_look.is_due(now, systems)}

    def of(self, owners: Collection[str]) -> Sequence[Notice]:
        """Notices that are not over, whether raised or not."""
        return [notice for owner in owners for notice in self._notices.get(owner, {}).values()]

    def notified(self, notice: str) -> Set[str]:
        """Receivers to which its RAISED was delivered or is to be."""
        return self._notified.get(notice, frozenset())

    def follow(self, owners: Collection[str], plan: Plan) -> None:
        """What was planned for all of these owners has been written."""
        for notice in self.of(owners):
            self.absent.pop(notice.id, None)
        for owner in owners:
            self._next_looks.pop(owner, None)
        for notice in [*plan.new, *plan.changed]:
            self._put(notice)
        for delivery in plan.deliveries:
            if delivery.phase is DeliveryPhase.RAISED:
                self._notified[delivery.notice_id].add(delivery.receiver)
        for notice in plan.dropped:
            self._drop(notice)
        self.absent |= plan.absent
        self._next_looks |= plan.next_looks

    def _put(self, notice: Notice) -> None:
        if notice.recovered_at is None:
            self._notices[notice.owner][notice.id] = notice
        else:
            self._drop(notice)

    def _drop(self, notice: Notice) -> None:
        owner, id = notice.owner, notice.id
        self._notified.pop(id, None)
        self._notices[owner].pop(id, None)
        if not self._notices[owner]:
            del self._notices[owner]
