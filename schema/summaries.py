"""Summaries: one row per content source."""

from datetime import datetime
from typing import Any

import strawberry

from resolvers import connectors
from resolvers.paging import PageArguments
from schema.arguments import ConnectorOrderArgument
from schema.connectors import ConnectorConnection
from schema.fields import Info, resolved
from schema.relay import After, Before, First, Last, Offset
from schema.scalars import Long


@strawberry.type(description="All connectors of one content source, over all systems that the filter lets through.")
class SourceSummary:
    source: str = strawberry.field(description="The slug of the source, as in Connector.source.")
    total_connectors: int = strawberry.field(description="How many connectors read it, federated ones included.")
    active_connectors: int = strawberry.field(description="Connectors whose status is ACTIVE.")
    public_connectors: int = strawberry.field(description="Connectors whose access type is PUBLIC.")
    failing_connectors: int = strawberry.field(description="Connectors whose health is FAILING.")
    stale_connectors: int = strawberry.field(
        description="Connectors whose values are older than their system's freshness limit."
    )
    running_jobs: int = strawberry.field(description="Their jobs that are RUNNING or CANCELING.")
    total_docs_indexed: Long | None = strawberry.field(
        description="Sum of their docsIndexed. Null when none of them reports documents."
    )
    last_success_at: datetime | None = strawberry.field(
        description="The latest lastSuccessAt of them; null when none is known."
    )

    @resolved(
        ConnectorConnection,
        "The connectors that this row counts, sorted by name unless 'orderBy' says otherwise.",
    )
    async def connectors(
        self: Any,
        info: Info,
        order_by: ConnectorOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Any:
        page = PageArguments(first=first, after=after, last=last, before=before, offset=offset)
        return await connectors.connectors(info.context, filter=None, order_by=order_by, page=page, source=self)
