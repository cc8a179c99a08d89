"""What may be asked: the root fields, each answered by the resolver of its name.

Root fields are nullable, so that one that fails leaves its siblings' answers standing.
"""

from typing import Annotated, Any

import strawberry

from connectory.limits import LOOK_UP, ROW, DocumentLimits
from connectory.model import Role
from resolvers import connectors, events, jobs, nodes, notices, summaries, systems
from resolvers.paging import PageArguments
from schema.arguments import (
    ConnectorFilterArgument,
    ConnectorOrderArgument,
    EventFilterArgument,
    JobFilterArgument,
    JobOrderArgument,
    NoticeFilterArgument,
)
from schema.connectors import Connector, ConnectorConnection
from schema.events import EventConnection
from schema.fields import Info, resolved, root
from schema.jobs import Job, JobConnection
from schema.notices import NoticeConnection
from schema.relay import After, Before, First, Last, Node, Offset
from schema.summaries import SourceSummary
from schema.systems import System

Id = Annotated[strawberry.ID, strawberry.argument(description="An id as this API gave it.")]


@strawberry.type(description="Who is asking, as far as the gateway knows.")
class Viewer:
    name: str = strawberry.field(description="The name that authentication gave.")
    role: Role = strawberry.field(description="What the viewer may do. Offer only the actions that it allows.")


@strawberry.type(
    description=(
        "What may be asked. No answer waits for an upstream: all come from what was last observed. An operation that "
        "comes to more values, or takes longer, than the gateway allows is refused as a whole, with BAD_USER_INPUT or "
        f"OPERATION_TIMEOUT: a field counts 1, one that is looked up for its object {LOOK_UP}, a row of a list {ROW}. "
        f"Fields lie at most {DocumentLimits().depth_per_operation} deep in each other."
    )
)
class Query:
    @resolved(Node | None, "Whatever has this id; null when nothing does.")
    async def node(self, info: Info, id: Id) -> Any:
        return await nodes.node(info.context, id)

    @resolved(
        list[Node | None] | None,
        "Whatever has these ids, in the order asked; null in the place of an id that nothing has. The list itself is "
        "null only together with an error.",
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="Ids as this API gave them.")],
    ) -> Any:
        return await nodes.nodes(info.context, list(ids))

    @root(Viewer, "Who is asking, and what that role may do.")
    def viewer(self, info: Info) -> Any:
        return info.context.viewer

    @root(list[System], "Every configured system, sorted by name.")
    async def systems(self, info: Info) -> Any:
        return await systems.all_systems(info.context)

    @resolved(System | None, "The system of this name; null when none is configured.")
    async def system(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The name given in the configuration.")],
    ) -> Any:
        return await systems.system_by_name(info.context, name)

    @resolved(
        Connector | None,
        "The connector with this id, a removed one included; null when there is none.",
    )
    async def connector(self, info: Info, id: Id) -> Any:
        return await connectors.connector(info.context, id)

    @root(ConnectorConnection, "Connectors of every system.")
    async def connectors(
        self,
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
        return await connectors.connectors(info.context, filter=filter, order_by=order_by, page=page)

    @resolved(Job | None, "The job with this id; null when there is none.")
    async def job(self, info: Info, id: Id) -> Any:
        return await jobs.job(info.context, id)

    @root(JobConnection, "Jobs of every connector.")
    async def jobs(
        self,
        info: Info,
        filter: JobFilterArgument = None,
        order_by: JobOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Any:
        page = PageArguments(first=first, after=after, last=last, before=before, offset=offset)
        return await jobs.jobs(info.context, filter=filter, order_by=order_by, page=page)

    @root(
        NoticeConnection,
        "What people are told of: one notice when something fails or gets stuck, with its recovery. Newest first.",
    )
    async def notices(
        self,
        info: Info,
        filter: NoticeFilterArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Any:
        page = PageArguments(first=first, after=after, last=last, before=before, offset=offset)
        return await notices.notices(info.context, filter=filter, page=page)

    @root(
        list[SourceSummary],
        "One row per content source over what survives the filter; summaries count before paging.",
    )
    async def source_summaries(self, info: Info, filter: ConnectorFilterArgument = None) -> Any:
        return await summaries.source_summaries(info.context, filter)

    @root(
        EventConnection,
        "Everything that was observed to change, oldest first; the same cursors serve subscriptions.",
    )
    async def events(
        self,
        info: Info,
        filter: EventFilterArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return await events.events(info.context, filter=filter, first=first, after=after, last=last, before=before)

    @root(
        str,
        (
            "The position of the change log that this operation's answer shows: one operation reads one snapshot. "
            "Subscribe with it as 'after' and nothing is missed."
        ),
    )
    async def event_cursor(self, info: Info) -> Any:
        return await events.event_cursor(info.context)
