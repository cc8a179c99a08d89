"""What is counted of the store for those who watch over the gateway: one snapshot, one short statement each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, func, select

from connectory.model import ConditionCode, ConditionSeverity, ConnectorHealth, SystemHealth
from connectory.store.database import Store
from connectory.store.reads.notices import WAITING
from connectory.store.tables import CONDITIONS, CONNECTORS, DELIVERIES, LOG_HEAD, NOTICES, SYSTEMS


class SystemFigures(NamedTuple):
    """One system, as its last poll left it. ``stale_after`` is in seconds."""

    id: str
    name: str
    kind: str
    health: SystemHealth
    stale_after: float
    last_poll_at: datetime | None
    last_success_at: datetime | None
    observed_at: datetime | None
    next_poll_at: datetime | None
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the store holds of configured systems."""

    #: in the order of their names
    systems: Sequence[SystemFigures]
    #: how many, by (system's id, health); those that are removed left out
    connectors: Mapping[tuple[str, ConnectorHealth], int]
    #: by (system's id, code, severity); without what is joined when read
    conditions: Mapping[tuple[str, ConditionCode, ConditionSeverity], int]
    #: raised and not over yet
    notices: Mapping[ConditionSeverity, int]
    #: by receiver: how many wait, and since when the oldest does
    deliveries: Mapping[str, tuple[int, datetime]]
    #: of the change log
    position: int


async def read_figures(store: Store) -> Figures:
    """Raises what the database raises when it is down."""
    s, c, h, n, d = SYSTEMS.c, CONNECTORS.c, CONDITIONS.c, NOTICES.c, DELIVERIES.c
    count = func.count()
    systems = select(*(s[name] for name in SystemFigures._fields)).where(s.configured).order_by(s.name)
    connectors = select(c.system_id, c.health, count).where(c.removed_at.is_(None)).group_by(c.system_id, c.health)
    conditions = select(h.system_id, h.code, h.severity, count).group_by(h.system_id, h.code, h.severity)
    is_open = and_(n.recovered_at.is_(None), n.raised_at.is_not(None))
    notices = select(n.severity, count.label("number")).where(is_open).group_by(n.severity)
    deliveries = select(d.receiver, count, func.min(d.created_at)).where(WAITING).group_by(d.receiver)
    async with store.read() as connection:
        return Figures(
            systems=[SystemFigures._make(row) for row in await connection.execute(systems)],
            connectors={(id, health): some for id, health, some in await connection.execute(connectors)},
            conditions={(id, *what): some for id, *what, some in await connection.execute(conditions)},
            notices={row.severity: row.number for row in await connection.execute(notices)},
            deliveries={name: (some, oldest) for name, some, oldest in await connection.execute(deliveries)},
            position=(await connection.execute(select(LOG_HEAD.c.position))).scalar_one(),
        )
