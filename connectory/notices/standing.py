"""What the notifier remembers: the notices that are not over, as the store has them, and when to look again at what."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import DeliveryPhase
from connectory.notices.plan import Absence, Outlook, Plan, owner_of
from connectory.store.reads.notices import open_notices, read_place, told_receivers
from connectory.store.rows import Row


class Standing:
    """Changed only after what it follows has been committed. Owners are global ids of connectors and of systems."""

    def __init__(self, position: int | None, turn: int, sequence: int) -> None:
        #: the notifier's place, see NotifierRow
        self.position, self.turn, self.sequence = position, turn, sequence
        #: by notice
        self.absent: dict[str, Absence] = {}
        self._told: defaultdict[str, set[str]] = defaultdict(set)
        #: owner → id → notice
        self._notices: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._outlooks: dict[str, Outlook] = {}

    @classmethod
    async def read(cls, connection: AsyncConnection) -> "Standing":
        place = await read_place(connection)
        standing = cls(place.position, place.turn, place.sequence)
        async for rows in open_notices(connection):
            for row in rows:
                standing._put(row)
        async for deliveries in told_receivers(connection):
            for delivery in deliveries:
                standing._told[delivery.notice_id].add(delivery.receiver)
        return standing

    @property
    def owners(self) -> Set[str]:
        return self._notices.keys()

    def owners_in(self, systems: Collection[str]) -> set[str]:
        """Those of these systems, which are among them where they have notices of their own."""
        if not systems:
            return set()
        of = ((owner, next(iter(notices.values()))) for owner, notices in self._notices.items())
        return {owner for owner, notice in of if notice["system_id"] in systems}

    def due(self, now: datetime, systems: Mapping[str, Any]) -> set[str]:
        """Owners for whom something has come that they wait for; ``systems``: rows by id."""
        return {owner for owner, outlook in self._outlooks.items() if outlook.has_come(now, systems)}

    def of(self, owners: Collection[str]) -> Sequence[Row]:
        """Notices that are not over, whether raised or not."""
        return [row for owner in owners for row in self._notices.get(owner, {}).values()]

    def told(self, notice: str) -> Set[str]:
        """Receivers that were told of it."""
        return self._told.get(notice, frozenset())

    def follow(self, owners: Collection[str], plan: Plan) -> None:
        """What was planned for all of these owners has been written."""
        for row in self.of(owners):
            self.absent.pop(row["id"], None)
        for owner in owners:
            self._outlooks.pop(owner, None)
        for row in [*plan.new, *plan.changed]:
            self._put(row)
        for delivery in plan.deliveries:
            if delivery["phase"] is DeliveryPhase.RAISED:
                self._told[delivery["notice_id"]].add(delivery["receiver"])
        for row in plan.dropped:
            self._drop(row)
        self.absent |= plan.absent
        self._outlooks |= plan.outlooks

    def _put(self, row: Row) -> None:
        if row["recovered_at"] is None:
            self._notices[owner_of(row)][row["id"]] = row
        else:
            self._drop(row)

    def _drop(self, row: Row) -> None:
        owner, id = owner_of(row), row["id"]
        self._told.pop(id, None)
        self._notices[owner].pop(id, None)
        if not self._notices[owner]:
            del self._notices[owner]
