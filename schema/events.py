"""Events: what was observed to change.

What an event says of its moment is stored with it; 'connector', 'job' and 'system' show the present.
"""

from datetime import datetime
from typing import Any

import strawberry

from connectory.model import ConnectorHealth, ConnectorStatus, EventKind, JobStatus, SystemHealth
from resolvers import events
from schema.connectors import Connector
from schema.fields import Info, resolved
from schema.jobs import Job
from schema.relay import PageInfo
from schema.scalars import Long
from schema.systems import System

GONE = "Null once retention has removed it."


@strawberry.interface(description="One observed change.")
class Event:
    cursor: str = strawberry.field(description="Opaque, ordered; hand it back as 'after' to go on from here.")
    at: datetime = strawberry.field(description="When the gateway observed it.")
    kind: EventKind = strawberry.field(description="What was observed to change.")


@strawberry.type(description="A connector appeared, changed or was found gone.")
class ConnectorEvent(Event):
    connector_id: strawberry.ID = strawberry.field(description="The connector's id, kept after the connector itself.")
    connector_status: ConnectorStatus = strawberry.field(description="Its status at that moment.")
    previous_connector_status: ConnectorStatus | None = strawberry.field(
        description="Its status before; null when it was new."
    )
    connector_health: ConnectorHealth = strawberry.field(description="Its health at that moment.")
    previous_connector_health: ConnectorHealth | None = strawberry.field(
        description="Its health before; null when it was new."
    )
    changed_fields: list[str] = strawberry.field(
        description="Names of the Connector fields that changed; empty when it was new or gone."
    )

    @resolved(Connector | None, f"The connector as it is now. {GONE}")
    async def connector(self: Any, info: Info) -> Any:
        return await events.connector_of_event(info.context, self)


@strawberry.type(description="A job was first seen, moved on, changed or ended.")
class JobEvent(Event):
    job_id: strawberry.ID = strawberry.field(description="The job's id, kept after the job itself.")
    job_status: JobStatus = strawberry.field(description="Its status at that moment.")
    previous_job_status: JobStatus | None = strawberry.field(description="Its status before; null when it was new.")
    processed: Long | None = strawberry.field(description="progress.processed at that moment.")
    changed_fields: list[str] = strawberry.field(
        description="Names of the Job fields that changed; empty when it was new."
    )

    @resolved(Job | None, f"The job as it is now. {GONE}")
    async def job(self: Any, info: Info) -> Any:
        return await events.job_of_event(info.context, self)


@strawberry.type(description="A system's health changed.")
class SystemEvent(Event):
    system_health: SystemHealth = strawberry.field(description="Its health at that moment.")
    message: str = strawberry.field(description="What happened, in a sentence for people.")

    @resolved(
        System | None,
        "The system as it is now. Null when it is no longer configured.",
    )
    async def system(self: Any, info: Info) -> Any:
        return await events.system_of_event(info.context, self)


@strawberry.type(
    description="Events between the two cursors are no longer available (or were dropped for a slow reader). So are "
    "all before the first that is kept, to who comes with a cursor of another store, or of this one before a backup "
    "was restored: what follows is the whole log."
)
class GapEvent(Event):
    #: 'from' is a keyword of Python
    from_: str = strawberry.field(name="from", description="The last position known to be complete before the gap.")
    to: str = strawberry.field(description="The position from which on nothing is missing.")


@strawberry.type(description="One event's place in the log.")
class EventEdge:
    cursor: str = strawberry.field(description="The same as the event's own cursor.")
    node: Event = strawberry.field(description="The event.")


@strawberry.type(description="A page of the change log, oldest first.")
class EventConnection:
    edges: list[EventEdge] = strawberry.field(description="The page's events, each with its cursor.")
    nodes: list[Event] = strawberry.field(description="The same without cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands within the log.")


#: Reachable through the interface only, so the schema has to be told of them.
EVENTS = (ConnectorEvent, JobEvent, SystemEvent, GapEvent)
