"""Connectors: one by id, or lists of them at the root, under a system and under a source."""

from typing import Any

from sqlalchemy import select

from connectory.store.reads.criteria import connector_criteria
from connectory.store.reads.filters import ConnectorCriteria
from connectory.store.reads.records import ConnectorRecord, JobRecord, SummaryRecord, SystemRecord
from connectory.store.reads.snapshot import CONNECTOR_COLUMNS, Snapshot
from connectory.store.tables import CONNECTORS
from connectory.store.tables.identity import CONNECTOR, type_of
from resolvers.arguments import check_filter
from resolvers.context import Context
from resolvers.lists import ROOT, Connection, Listed, Listing, connection
from resolvers.paging import PageArguments
from resolvers.vocabulary import ConnectorFacet, ConnectorOrderField, SortDirection

_C = CONNECTORS.c

LISTED = Listed(
    name="connectors",
    columns=CONNECTOR_COLUMNS,
    orders={
        ConnectorOrderField.NAME: _C.name_key,
        ConnectorOrderField.SOURCE: _C.source,
        ConnectorOrderField.STATUS: _C.status,
        ConnectorOrderField.DOCS_INDEXED: _C.docs_indexed,
        ConnectorOrderField.LAST_SUCCESS_AT: _C.last_success_at,
        ConnectorOrderField.HEALTH: _C.health,
    },
    facets={
        ConnectorFacet.SYSTEM: _C.system_id,
        ConnectorFacet.KIND: _C.system_id,
        ConnectorFacet.SOURCE: _C.source,
        ConnectorFacet.MODE: _C.mode,
        ConnectorFacet.STATUS: _C.status,
        ConnectorFacet.HEALTH: _C.health,
        ConnectorFacet.ACCESS_TYPE: _C.access_type,
        ConnectorFacet.LAST_JOB_STATUS: _C.last_job_status,
    },
    record=Snapshot.connector,
)


async def connector(ctx: Context, id: str) -> ConnectorRecord | None:
    """Also a removed one; None for an id that is unknown or malformed."""
    if type_of(id) != CONNECTOR:
        return None
    snapshot = await ctx.snapshot()

    async def by_id(ids: list[Any]) -> list[ConnectorRecord | None]:
        known = _C.system_id.in_(list(snapshot.systems))
        rows = await snapshot.fetch(select(*CONNECTOR_COLUMNS).where(_C.id.in_(ids), known))
        found = {row[0]: snapshot.connector(row) for row in rows}
        return [found.get(id) for id in ids]

    record: ConnectorRecord | None = await ctx.loader("connector", by_id).load(id)
    return record


async def connector_of(ctx: Context, job: JobRecord) -> ConnectorRecord | None:
    """None for an orphan."""
    return None if job.connector_id is None else await connector(ctx, job.connector_id)


async def connectors(
    ctx: Context,
    *,
    filter: ConnectorCriteria | None,
    order_by: Any,
    page: PageArguments,
    system: SystemRecord | None = None,
    source: SummaryRecord | None = None,
) -> Connection:
    """A page of connectors; under ``system`` its own, under the summary ``source`` those that it counts."""
    if source is not None:
        filter = source.filter
    check_filter(filter)
    parent, key = None, ROOT
    if system is not None:
        parent, key = _C.system_id, system.id
    elif source is not None:
        parent, key = _C.source, source.source
    field = order_by.field if order_by else ConnectorOrderField.NAME
    descending = bool(order_by) and order_by.direction is SortDirection.DESC
    snapshot = await ctx.snapshot()
    listing = Listing(
        of=LISTED,
        criteria=connector_criteria(filter, snapshot),
        field=field,
        descending=descending,
        page=page,
        signature=(parent is not None and parent.name, repr(filter), field, descending),
        store=snapshot.store,
        parent=parent,
    )
    return await connection(ctx, listing, key)
