"""Jobs: one by id, or lists of them at the root and under a connector; and the documents of a job that failed."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from connectory.store.reads.criteria import JOB_SOURCE, job_criteria
from connectory.store.reads.filters import JobCriteria
from connectory.store.reads.records import ConnectorRecord, JobErrorRecord, JobRecord
from connectory.store.reads.rows import newest_ended
from connectory.store.reads.snapshot import JOB_COLUMNS, Snapshot
from connectory.store.tables import CONNECTORS, JOB_ERRORS, JOBS
from connectory.store.tables.identity import JOB, type_of
from resolvers.arguments import BadUserInput, check_filter
from resolvers.context import Context
from resolvers.lists import ROOT, Connection, Listed, Listing, connection
from resolvers.paging import Edge, PageArguments, PageInfo, decode_cursor, encode_cursor, is_long, not_ours
from resolvers.vocabulary import JobFacet, JobOrderField, SortDirection

_J = JOBS.c

LISTED = Listed(
    name="jobs",
    columns=JOB_COLUMNS,
    orders={
        JobOrderField.CREATED_AT: _J.created_order,
        JobOrderField.STARTED_AT: _J.started_at,
        JobOrderField.COMPLETED_AT: _J.completed_at,
        JobOrderField.STATUS: _J.status,
        JobOrderField.INDEXED: _J.indexed,
    },
    facets={
        JobFacet.SYSTEM: _J.system_id,
        JobFacet.SOURCE: JOB_SOURCE,
        JobFacet.STATUS: _J.status,
        JobFacet.TYPE: _J.type,
        JobFacet.TRIGGER: _J.trigger,
    },
    record=Snapshot.job,
)


async def job(ctx: Context, id: str) -> JobRecord | None:
    """None for an id that is unknown or malformed."""
    if type_of(id) != JOB:
        return None
    snapshot = await ctx.snapshot()

    async def by_id(ids: list[Any]) -> list[JobRecord | None]:
        known = _J.system_id.in_(list(snapshot.systems))
        rows = await snapshot.fetch(select(*JOB_COLUMNS).where(_J.id.in_(ids), known))
        found = {row[0]: snapshot.job(row) for row in rows}
        return [found.get(id) for id in ids]

    record: JobRecord | None = await ctx.loader("job", by_id).load(id)
    return record


async def latest_job(ctx: Context, connector: ConnectorRecord) -> JobRecord | None:
    """The newest job that moves content."""
    return None if connector.latest_job_id is None else await job(ctx, connector.latest_job_id)


async def last_finished_job(ctx: Context, connector: ConnectorRecord) -> JobRecord | None:
    """The newest job that moves content and has ended."""
    snapshot = await ctx.snapshot()

    async def by_connector(ids: list[Any]) -> list[JobRecord | None]:
        of = CONNECTORS.join(JOBS, _J.id == newest_ended(CONNECTORS.c.id))
        rows = await snapshot.fetch(select(*JOB_COLUMNS).select_from(of).where(CONNECTORS.c.id.in_(ids)))
        found = {job.connector_id: job for job in map(snapshot.job, rows)}
        return [found.get(id) for id in ids]

    record: JobRecord | None = await ctx.loader("last finished job", by_connector).load(connector.id)
    return record


async def jobs(
    ctx: Context,
    *,
    filter: JobCriteria | None,
    order_by: Any,
    page: PageArguments,
    connector: ConnectorRecord | None = None,
) -> Connection:
    """A page of jobs, newest first unless ``order_by`` says otherwise; under ``connector`` its own."""
    check_filter(filter)
    field = order_by.field if order_by else JobOrderField.CREATED_AT
    descending = order_by is None or order_by.direction is SortDirection.DESC
    snapshot = await ctx.snapshot()
    listing = Listing(
        of=LISTED,
        criteria=job_criteria(filter, snapshot),
        field=field,
        descending=descending,
        page=page,
        signature=(connector is not None, repr(filter), field, descending),
        store=snapshot.store,
        parent=None if connector is None else _J.connector_id,
    )
    return await connection(ctx, listing, ROOT if connector is None else connector.id)


@dataclass(slots=True)
class JobErrorConnection:
    """A page of failed documents; the rest is counted only when asked for."""

    edges: list[Edge]
    nodes: list[JobErrorRecord]
    page_info: PageInfo
    _ctx: Context
    _job_id: str

    async def total_count(self) -> int:
        """Of all that the job names."""
        snapshot = await self._ctx.snapshot()

        async def counts(ids: list[Any]) -> list[int]:
            column = JOB_ERRORS.c.job_id
            statement = select(column, func.count()).where(column.in_(ids)).group_by(column)
            found = {row[0]: row[1] for row in await snapshot.fetch(statement)}
            return [found.get(id, 0) for id in ids]

        count: int = await self._ctx.loader("job error count", counts).load(self._job_id)
        return count


async def job_errors(ctx: Context, job: JobRecord, first: int | None, after: str | None) -> JobErrorConnection:
    """The documents of ``job`` that failed, in the upstream's order."""
    page = PageArguments(first=first, after=after)
    page.check()
    snapshot = await ctx.snapshot()
    start = -1 if page.after is None else _error_position(page.after, job, snapshot.store)

    async def pages(ids: list[Any]) -> list[list[Any]]:
        e = JOB_ERRORS.c
        place = func.row_number().over(partition_by=e.job_id, order_by=e.position).label("place")
        ranked = select(JOB_ERRORS, place).where(e.job_id.in_(ids), e.position > start).subquery()
        rows = await snapshot.fetch(select(ranked).where(ranked.c.place <= page.size + 1).order_by(ranked.c.position))
        found = defaultdict(list)
        for row in rows:
            found[row.job_id].append(row)
        return [found[id] for id in ids]

    rows: list[Any] = await ctx.loader(("job errors", page), pages).load(job.id)
    more, rows = len(rows) > page.size, rows[: page.size]
    ctx.budget.spend_rows(len(rows))
    nodes = [JobErrorRecord(row.document_id, row.url, row.message, row.at, row.is_resolved) for row in rows]
    cursors = [encode_cursor("errors", row.position, job.id, snapshot.store) for row in rows]
    edges = [Edge(cursor, node) for cursor, node in zip(cursors, nodes, strict=True)]
    start_cursor, end_cursor = (edges[0].cursor, edges[-1].cursor) if edges else (None, None)
    return JobErrorConnection(
        edges, nodes, PageInfo(more, page.after is not None, start_cursor, end_cursor), ctx, job.id
    )


def _error_position(cursor: str, job: JobRecord, store: int) -> int:
    position, of = decode_cursor(cursor, "errors", "after", store)
    if not is_long(position):
        raise not_ours("after")
    if of != job.id:
        raise BadUserInput("'after' is a cursor of another job's errors.")
    return int(position)
