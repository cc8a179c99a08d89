"""Who decides what people are told: woken by the log, it compares what is amiss with the notices that are open.

What it finds follows from the store's present state and not from single events, so nothing is lost by a restart.
Notices, their deliveries and how far it has come are written in one transaction, so nothing is doubled by one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.notices.plan import Absence, Plan, Planner
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.notices import Picture, Row, answers, log_position, move_notifier, read_picture, write_notices
from connectory.store.transactions import whole

_log = logging.getLogger(__name__)
#: Positions of the log after which the place is written down though nothing else is.
_STRETCH = 1_000


class Notifier:
    """Looks when it is told to. ``clock`` tells the time (UTC-aware), ``chance`` makes names."""

    def __init__(
        self, store: Store, receivers: Sequence[ReceiverSettings], *, clock: Callable[[], datetime], chance: Random
    ) -> None:
        self._store, self._receivers, self._clock, self._chance = store, receivers, clock, chance
        #: of the log, up to where everything has been looked at; None: not known, the store may know it
        self._position: int | None = None
        self._written = 0
        #: when to look again though the log has not grown
        self._due: datetime | None = None
        #: system → its last answer; the next one decides something
        self._awaited: Mapping[str, datetime | None] = {}
        self._absent: Mapping[str, Absence] = {}

    def forget(self) -> None:
        """Somebody else may have been at work: begin where the store says."""
        self._position, self._due, self._awaited, self._absent = None, None, {}, {}

    async def look(self) -> bool:
        """Look, if there is any reason to, and write what follows. True: something is to be delivered.

        Raises Overtaken, and what the database raises when it is down.
        """
        async with self._store.read() as connection:
            if not await self._has_reason(connection):
                return False
        async with self._store.read() as connection:
            picture = await read_picture(connection, self._position)
        plan = Planner(picture, self._receivers, self._clock(), self._name, self._absent).plan()
        if plan or self._position is None or picture.position - self._written >= _STRETCH:
            await whole(self._write(picture, plan))
            self._written = picture.position
        self._position, self._due, self._absent = picture.position, plan.due, plan.absent
        self._awaited = {id: picture.systems[id].observed_at for id in plan.awaited}
        return bool(plan.deliveries)

    async def _has_reason(self, connection: AsyncConnection) -> bool:
        if self._position is None or (self._due is not None and self._clock() >= self._due):
            return True
        if await log_position(connection) != self._position:
            return True
        return bool(self._awaited) and await answers(connection, self._awaited) != self._awaited

    async def _write(self, picture: Picture, plan: Plan) -> None:
        async with self._store.write() as connection:
            await move_notifier(connection, picture, len(plan.deliveries))
            await write_notices(connection, plan.new, plan.changed, plan.dropped, plan.deliveries)
        for row in [*plan.new, *plan.changed]:
            if row["recovered_at"] is not None:
                _say("recovered", row)
            elif row["position"] == picture.position:
                _say("raised", row)

    def _name(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"


def _say(what: str, row: Row) -> None:
    _log.info(
        f"notice {what}: {row['title']}",
        extra={"action": f"notice_{what}", "notice": row["id"], "kind": row["kind"].name},
    )
