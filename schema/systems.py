"""Systems: one configured deployment of an upstream each."""

from datetime import datetime
from typing import Any

import strawberry

from connectory.model import Capability, SystemErrorCode, SystemHealth
from resolvers import connectors, history, systems
from resolvers.paging import PageArguments
from schema.arguments import ConnectorFilterArgument, ConnectorOrderArgument
from schema.fields import Info, lazily, resolved
from schema.history import OutageConnection
from schema.relay import After, Before, First, Last, Node, Offset


@strawberry.type(description="What kept a system's last poll from being complete.")
class SystemError:
    code: SystemErrorCode = strawberry.field(description="What went wrong, for programs.")
    message: str = strawberry.field(description="What went wrong, for people; holds no secret.")
    at: datetime = strawberry.field(description="When it was seen last.")


@strawberry.type(description="One configured deployment of an external connector system.")
class System(Node):
    name: str = strawberry.field(description="The unique name given in the configuration.")
    kind: str = strawberry.field(
        description="onyx, elastic, lucidworks, feldera, zensearch, or the kind of a plugged-in source."
    )
    health: SystemHealth = strawberry.field(description="How well it answers us.")
    capabilities: list[Capability] = strawberry.field(
        description="What the upstream can tell or do; what is absent is 'not reported', never 0."
    )
    last_poll_at: datetime | None = strawberry.field(description="When it was last asked; null before the first time.")
    last_success_at: datetime | None = strawberry.field(
        description="When it last answered completely; null before the first time."
    )
    next_poll_at: datetime | None = strawberry.field(
        description="When it will be asked next, any back-off or wait included; null while that is not planned."
    )
    consecutive_failures: int = strawberry.field(description="How many polls in a row have failed; 0 after a good one.")
    last_error: SystemError | None = strawberry.field(
        description="What kept the last poll from being complete; null again after a complete one."
    )

    @resolved(int, "How many connectors it has, removed ones left out.")
    async def total_connectors(self: Any, info: Info) -> int:
        return await systems.total_connectors(info.context, self)

    @resolved(int, "How many of its jobs are RUNNING or CANCELING.")
    async def running_jobs(self: Any, info: Info) -> int:
        return await systems.running_jobs(info.context, self)

    @resolved(
        lazily("ConnectorConnection", "schema.connectors"),
        "Its connectors, sorted by name unless 'orderBy' says otherwise.",
    )
    async def connectors(
        self: Any,
        info: Info,
        filter: ConnectorFilterArgument = None,
        order_by: ConnectorOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Any:
        page = PageArguments(first=first, after=after, last=last, before=before, offset=offset)
        return await connectors.connectors(info.context, filter=filter, order_by=order_by, page=page, system=self)

    @resolved(OutageConnection, "When it did not answer, newest first; kept longer than the events that tell of it.")
    async def outages(self: Any, info: Info, first: First = None, after: After = None) -> Any:
        return await history.outages(info.context, self, first, after)
