"""Notices: one by id, or a list of them, each with what became of telling it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import select

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    DeliveryPhase,
    DeliveryStatus,
    DescribedEnum,
    NoticeKind,
)
from connectory.store.log.cursors import Place
from connectory.store.reads.criteria import notice_criteria
from connectory.store.reads.filters import NoticeCriteria
from connectory.store.reads.records import ConnectorRecord, JobRecord, SystemRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import DELIVERIES, NOTICES
from connectory.store.tables.identity import NOTICE, type_of
from resolvers.arguments import check_filter
from resolvers.connectors import connector
from resolvers.context import Context
from resolvers.jobs import job
from resolvers.lists import Connection, Listed, Listing, connection
from resolvers.paging import PageArguments


class _Order(DescribedEnum):
    """The one order of notices; it stands in their cursors."""

    RAISED_AT = "When they were raised."


@dataclass(slots=True)
class NoticeRecord:
    """A notice that was raised."""

    typename: ClassVar[str] = NOTICE

    id: str
    system_id: str
    connector_id: str | None
    job_id: str | None
    kind: NoticeKind
    code: ConditionCode | None
    severity: ConditionSeverity
    title: str
    message: str
    since: datetime
    raised_at: datetime
    recovered_at: datetime | None
    recovery_message: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    position: int
    mark: int | None
    system: SystemRecord
    store: int

    @property
    def cursor(self) -> str:
        """The position of the log at its raising."""
        return Place(self.position, self.mark, self.store).cursor


_COLUMNS = [NOTICES.c[name] for name in NoticeRecord.__dataclass_fields__ if name in NOTICES.c]


def _record(snapshot: Snapshot, row: Any) -> NoticeRecord:
    return NoticeRecord(*(*row, snapshot.systems[row.system_id], snapshot.store))


LISTED = Listed(
    name="notices",
    columns=_COLUMNS,
    orders={_Order.RAISED_AT: NOTICES.c.raised_at},
    facets={},
    record=_record,
)


async def notice(ctx: Context, id: str) -> NoticeRecord | None:
    """None for an id that is unknown or malformed."""
    if type_of(id) != NOTICE:
        return None
    snapshot = await ctx.snapshot()

    async def by_id(ids: list[Any]) -> list[NoticeRecord | None]:
        statement = select(*_COLUMNS).where(NOTICES.c.id.in_(ids), *notice_criteria(None, snapshot))
        found = {row.id: _record(snapshot, row) for row in await snapshot.fetch(statement)}
        return [found.get(id) for id in ids]

    record: NoticeRecord | None = await ctx.loader("notice", by_id).load(id)
    return record


async def notices(ctx: Context, *, filter: NoticeCriteria | None, page: PageArguments) -> Connection:
    """A page of notices, newest first."""
    check_filter(filter)
    snapshot = await ctx.snapshot()
    listing = Listing(
        of=LISTED,
        criteria=notice_criteria(filter, snapshot),
        field=_Order.RAISED_AT,
        descending=True,
        page=page,
        signature=repr(filter),
        store=snapshot.store,
    )
    return await connection(ctx, listing)


async def connector_of_notice(ctx: Context, notice: NoticeRecord) -> ConnectorRecord | None:
    """None for a system as a whole, and once retention has removed it."""
    return None if notice.connector_id is None else await connector(ctx, notice.connector_id)


async def job_of_notice(ctx: Context, notice: NoticeRecord) -> JobRecord | None:
    """None where it began with no job, and once retention has removed it."""
    return None if notice.job_id is None else await job(ctx, notice.job_id)


@dataclass(slots=True)
class DeliveryRecord:
    """One message to one receiver."""

    receiver: str
    phase: DeliveryPhase
    attempts: int
    last_error: str | None
    delivered_at: datetime | None
    dead_at: datetime | None
    next_attempt_at: datetime | None

    @property
    def status(self) -> DeliveryStatus:
        """How far it has come."""
        if self.delivered_at is not None:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.PENDING if self.dead_at is None else DeliveryStatus.DEAD

    def __post_init__(self) -> None:
        if self.status is not DeliveryStatus.PENDING:
            self.next_attempt_at = None


_DELIVERY_COLUMNS = [DELIVERIES.c[name] for name in DeliveryRecord.__dataclass_fields__]


async def deliveries(ctx: Context, notice: NoticeRecord) -> list[DeliveryRecord]:
    """In the order of telling."""
    snapshot = await ctx.snapshot()

    async def of(ids: list[Any]) -> list[list[DeliveryRecord]]:
        d = DELIVERIES.c
        statement = select(d.notice_id, *_DELIVERY_COLUMNS).where(d.notice_id.in_(ids)).order_by(d.sequence)
        found = defaultdict(list)
        for id, *values in await snapshot.fetch(statement):
            found[id].append(DeliveryRecord(*values))
        return [found[id] for id in ids]

    records: list[DeliveryRecord] = await ctx.loader("notice deliveries", of).load(notice.id)
    return records
