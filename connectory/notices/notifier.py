"""Who decides what people are told: woken by the log, it compares what is amiss with the notices that are open.

What it finds follows from the store's present state and not from single events, so nothing is lost by a restart.
Notices and their deliveries are written in one transaction, so nothing is doubled by one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from random import Random

from connectory.notices.open_notices import OpenNotices
from connectory.notices.plan import Plan
from connectory.notices.planner import Planner
from connectory.notices.settings import ReceiverSettings
from connectory.notices.troubles import is_down
from connectory.store import Store
from connectory.store.leases.rows import Lease
from connectory.store.reads.notice_state import (
    Notice,
    SystemsState,
    changed_connectors,
    connectors_with_conditions,
    failing,
    failing_in,
    reaches_back,
    read_notice_state,
    read_systems,
)
from connectory.store.rows import batches
from connectory.store.transactions import Transaction, shielded
from connectory.store.writes.notices import move_notifier, write_notices

_log = logging.getLogger(__name__)
#: Positions of the log after which the place is written down though nothing else is.
_SAVE_PLACE_AFTER = 1_000
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
        self._open_notices: OpenNotices | None = None
        #: of the log, up to where everything has been looked at; None: nobody has
        self._position: int | None = None
        #: system → whether it is configured, and down, as it was then; what its connectors show is another thing after
        self._systems: Mapping[str, tuple[bool, bool]] = {}

    def forget(self) -> None:
        """Somebody else may have been at work: begin where the store says."""
        self._open_notices = None

    async def look(self) -> bool:
        """Look, if there is any reason to, and write what follows. True: something is to be delivered.

        Raises LeaseLost, and what the database raises when it is down.
        """
        has_news, now = False, self._clock()
        async with self._store.read() as connection:
            if self._open_notices is None:
                self._open_notices = await OpenNotices.read(connection)
                self._position, self._systems = self._open_notices.position, {}
            open_notices, current = self._open_notices, await read_systems(connection)
            turn, owners = open_notices.turn, await self._owners(connection, open_notices, current, now)
            # systems first: what comes with them is told after them
            for some in batches(sorted(owners, key=lambda id: (id not in current.systems, id)), _SLICE):
                state = await read_notice_state(connection, current, some, open_notices.of(some))
                plan = Planner(state, open_notices, self._receivers, now, self._name).plan()
                if plan:
                    await shielded(self._write(open_notices, current, plan))
                open_notices.follow(some, plan)
                has_news = has_news or bool(plan.deliveries)
        place = open_notices.position
        if open_notices.turn != turn or place is None or current.position - place >= _SAVE_PLACE_AFTER:
            await shielded(self._move(open_notices, current))
        self._position, self._systems = current.position, _configured_and_down(current)
        return has_news

    async def _owners(
        self, connection: Transaction, open_notices: OpenNotices, current: SystemsState, now: datetime
    ) -> set[str]:
        """Whom to look at. Connectors without a notice are among them only where something is amiss with them."""
        beyond, before = self._position, self._systems
        if beyond is not None and await reaches_back(connection, beyond, current.position):
            found = await changed_connectors(connection, beyond, open_notices.owners)
        else:
            found, before = await failing(connection, None), {}
        turned = {id for id, each in _configured_and_down(current).items() if before.get(id) != each}
        # a system that is back may fail as before, of which the log tells nothing new
        found |= turned | open_notices.owners_in(turned)
        found |= await connectors_with_conditions(connection, turned) | await failing_in(connection, turned)
        return found | open_notices.due(now, current.systems)

    async def _write(self, open_notices: OpenNotices, current: SystemsState, plan: Plan) -> None:
        async with self._begin() as connection:
            await move_notifier(connection, open_notices.turn, deliveries=len(plan.deliveries))
            dropped = [notice.id for notice in plan.dropped]
            new, changed, deliveries = (list(map(asdict, each)) for each in (plan.new, plan.changed, plan.deliveries))
            await write_notices(connection, new, changed, dropped, deliveries)
        open_notices.turn += 1
        open_notices.sequence += len(plan.deliveries)
        for notice in [*plan.new, *plan.changed]:
            if notice.recovered_at is not None:
                _say("recovered", notice)
            elif notice.position == current.position:
                _say("raised", notice)

    async def _move(self, open_notices: OpenNotices, current: SystemsState) -> None:
        """Only now: whoever begins here need not look at what the log tells before."""
        async with self._begin() as connection:
            await move_notifier(connection, open_notices.turn, position=current.position)
        open_notices.turn += 1
        open_notices.position = current.position

    def _name(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"


def _configured_and_down(current: SystemsState) -> dict[str, tuple[bool, bool]]:
    return {id: (system.configured, is_down(system)) for id, system in current.systems.items()}


def _say(what: str, notice: Notice) -> None:
    _log.info(
        f"notice {what}: {notice.title}",
        extra={"action": f"notice_{what}", "notice": notice.id, "kind": notice.kind.name},
    )
