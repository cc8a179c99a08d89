"""Who decides what people are told: woken by the log, it compares what is amiss with the notices that are open.

What it finds follows from the store's present state and not from single events, so nothing is lost by a restart.
Notices and their deliveries are written in one transaction, so nothing is doubled by one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from random import Random

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.notices.plan import Plan
from connectory.notices.planner import Planner
from connectory.notices.settings import ReceiverSettings
from connectory.notices.standing import Standing
from connectory.notices.troubles import is_down
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.reads.notice_state import (
    Present,
    burdened,
    failing,
    failing_in,
    reaches_back,
    read_picture,
    read_present,
    stirred,
)
from connectory.store.rows import Row, batches
from connectory.store.transactions import shielded
from connectory.store.writes.notices import move_notifier, write_notices

_log = logging.getLogger(__name__)
#: Positions of the log after which the place is written down though nothing else is.
_STRETCH = 1_000
#: Owners that are looked at in one go; what else there is to do goes on in between.
_SLICE = 200


class Notifier:
    """Looks when it is told to, at those owners for whom something may have changed: at connectors, and at systems for
    their own sake. ``clock`` tells the time (UTC-aware), ``chance`` makes names."""

    def __init__(
        self,
        store: Store,
        receivers: Sequence[ReceiverSettings],
        *,
        lease: Lease,
        clock: Callable[[], datetime],
        chance: Random,
    ) -> None:
        self._store, self._receivers, self._clock, self._chance = store, receivers, clock, chance
        self._begin = partial(store.leases.guarded, lease)
        #: None: not read yet
        self._standing: Standing | None = None
        #: of the log, up to where everything has been looked at; None: nobody has
        self._position: int | None = None
        #: system → whether it is configured, and down, as it was then; what its connectors show is another thing after
        self._systems: Mapping[str, tuple[bool, bool]] = {}

    def forget(self) -> None:
        """Somebody else may have been at work: begin where the store says."""
        self._standing = None

    async def look(self) -> bool:
        """Look, if there is any reason to, and write what follows. True: something is to be delivered.

        Raises LeaseLost, and what the database raises when it is down.
        """
        has_news, now = False, self._clock()
        async with self._store.read() as connection:
            if self._standing is None:
                self._standing = await Standing.read(connection)
                self._position, self._systems = self._standing.position, {}
            standing, present = self._standing, await read_present(connection)
            turn, owners = standing.turn, await self._owners(connection, standing, present, now)
            # systems first: what comes with them is told after them
            for some in batches(sorted(owners, key=lambda id: (id not in present.systems, id)), _SLICE):
                picture = await read_picture(connection, present, some, standing.of(some))
                plan = Planner(picture, standing, self._receivers, now, self._name).plan()
                if plan:
                    await shielded(self._write(standing, present, plan))
                standing.follow(some, plan)
                has_news = has_news or bool(plan.deliveries)
        place = standing.position
        if standing.turn != turn or place is None or present.position - place >= _STRETCH:
            await shielded(self._move(standing, present))
        self._position, self._systems = present.position, _states(present)
        return has_news

    async def _owners(
        self, connection: AsyncConnection, standing: Standing, present: Present, now: datetime
    ) -> set[str]:
        """Whom to look at. Connectors without a notice are among them only where something is amiss with them."""
        beyond, before = self._position, self._systems
        if beyond is not None and await reaches_back(connection, beyond, present.position):
            found = await stirred(connection, beyond, standing.owners)
        else:
            found, before = await failing(connection, None), {}
        turned = {id for id, state in _states(present).items() if before.get(id) != state}
        # a system that is back may fail as before, of which the log tells nothing new
        found |= turned | standing.owners_in(turned)
        found |= await burdened(connection, turned) | await failing_in(connection, turned)
        return found | standing.due(now, present.systems)

    async def _write(self, standing: Standing, present: Present, plan: Plan) -> None:
        async with self._begin() as connection:
            await move_notifier(connection, standing.turn, deliveries=len(plan.deliveries))
            dropped = [row["id"] for row in plan.dropped]
            await write_notices(connection, plan.new, plan.changed, dropped, plan.deliveries)
        standing.turn += 1
        standing.sequence += len(plan.deliveries)
        for row in [*plan.new, *plan.changed]:
            if row["recovered_at"] is not None:
                _say("recovered", row)
            elif row["position"] == present.position:
                _say("raised", row)

    async def _move(self, standing: Standing, present: Present) -> None:
        """Only now: whoever begins here need not look at what the log tells before."""
        async with self._begin() as connection:
            await move_notifier(connection, standing.turn, position=present.position)
        standing.turn += 1
        standing.position = present.position

    def _name(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"


def _states(present: Present) -> dict[str, tuple[bool, bool]]:
    return {id: (row.configured, is_down(row)) for id, row in present.systems.items()}


def _say(what: str, row: Row) -> None:
    _log.info(
        f"notice {what}: {row['title']}",
        extra={"action": f"notice_{what}", "notice": row["id"], "kind": row["kind"].name},
    )
