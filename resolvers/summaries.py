"""One row per content source, counted in SQL over what survives the filter."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, func, select

from connectory.model import RUNNING, AccessType, ConnectorHealth, ConnectorMode, ConnectorStatus
from connectory.store.reads.criteria import connector_criteria, stale_criterion
from connectory.store.reads.filters import ConnectorCriteria
from connectory.store.reads.records import SummaryRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import CONNECTORS, JOBS
from resolvers.arguments import check_filter
from resolvers.context import Context

_C = CONNECTORS.c
#: Sums are taken in two halves, since SQLite fails where one outgrows 64 bits.
_HALF = 2**32
#: Federated entries are counted in the total only: they have no status, no runs and no documents of their own.
_INDEXED = _C.mode != ConnectorMode.FEDERATED


def _number_of(criterion: Any) -> Any:
    return func.coalesce(func.sum(case((and_(_INDEXED, criterion), 1), else_=0)), 0)


def _indexed(column: Any) -> Any:
    return case((_INDEXED, column))


async def source_summaries(ctx: Context, filter: ConnectorCriteria | None) -> list[SummaryRecord]:
    """In the order of the sources' slugs."""
    check_filter(filter)
    snapshot = await ctx.snapshot()
    criteria = connector_criteria(filter, snapshot)
    rows = await snapshot.fetch(
        select(
            _C.source,
            func.count(),
            _number_of(_C.status == ConnectorStatus.ACTIVE),
            _number_of(_C.access_type == AccessType.PUBLIC),
            _number_of(_C.health == ConnectorHealth.FAILING),
            _number_of(stale_criterion(snapshot)),
            func.sum(_indexed(_C.docs_indexed // _HALF)),
            func.sum(_indexed(_C.docs_indexed % _HALF)),
            func.max(_indexed(_C.last_success_at)),
        )
        .where(*criteria)
        .group_by(_C.source)
        .order_by(_C.source)
    )
    running = await _running_jobs(snapshot, criteria)
    return [
        SummaryRecord(
            source=source,
            total_connectors=total,
            active_connectors=active,
            public_connectors=public,
            failing_connectors=failing,
            stale_connectors=stale,
            running_jobs=running.get(source, 0),
            total_docs_indexed=None if low is None else int(high) * _HALF + int(low),
            last_success_at=last_success_at,
            filter=filter,
        )
        for source, total, active, public, failing, stale, high, low, last_success_at in rows
    ]


async def _running_jobs(snapshot: Snapshot, criteria: Sequence[Any]) -> dict[str, int]:
    """By source, of its connectors that meet the criteria."""
    statement = (
        select(_C.source, func.count())
        .join_from(JOBS, CONNECTORS, JOBS.c.connector_id == _C.id)
        .where(JOBS.c.status.in_(list(RUNNING)), _INDEXED, *criteria)
        .group_by(_C.source)
    )
    return {row[0]: row[1] for row in await snapshot.fetch(statement)}
