"""Notices: what people are told, and what became of the telling."""

from datetime import datetime
from typing import Any

import strawberry

from connectory.model import ConditionCode, ConditionSeverity, DeliveryPhase, DeliveryStatus, NoticeKind
from resolvers import notices
from schema import enums as enums
from schema.connectors import Connector
from schema.fields import Info, resolved
from schema.jobs import Job
from schema.relay import Node, NumberedPage
from schema.systems import System


@strawberry.type(description="One message to one receiver of the configuration.")
class NoticeDelivery:
    receiver: str = strawberry.field(description="The receiver's name in the configuration.")
    phase: DeliveryPhase = strawberry.field(description="Which end of the notice it tells of.")
    status: DeliveryStatus = strawberry.field(description="How far it has come.")
    attempts: int = strawberry.field(description="How often it was sent.")
    next_attempt_at: datetime | None = strawberry.field(
        description="When it is sent next, once those before it are through; null unless PENDING."
    )
    last_error: str | None = strawberry.field(
        description="Why the last attempt was in vain, for people; holds no secret. Null when there is no reason."
    )
    delivered_at: datetime | None = strawberry.field(description="When it was accepted; null before that.")


@strawberry.type(
    description=(
        "Something that failed or got stuck, from its raising to its recovery. A system that is down is one notice, "
        "whatever becomes of its connectors; so are the failures of a connector's jobs up to its next success."
    )
)
class Notice(Node):
    kind: NoticeKind = strawberry.field(description="What it is about.")
    code: ConditionCode | None = strawberry.field(
        description="The condition; null for a job that failed, unless the failures repeat."
    )
    severity: ConditionSeverity = strawberry.field(description="How much it matters: the worst that it was.")
    title: str = strawberry.field(description="What it is about, in a few words.")
    message: str = strawberry.field(description="What is wrong, in a sentence for people; holds no secret.")
    system: System = strawberry.field(description="The system that it is about.")
    since: datetime = strawberry.field(description="Since when it is so; a notice is raised some time later.")
    raised_at: datetime = strawberry.field(description="When it had held for long enough to be told.")
    recovered_at: datetime | None = strawberry.field(description="When it was over; null while it lasts.")
    recovery_message: str | None = strawberry.field(description="How it ended; null while it lasts.")
    acknowledged_at: datetime | None = strawberry.field(description="When somebody saw to it; null while nobody has.")
    acknowledged_by: str | None = strawberry.field(description="Who did; null while nobody has.")
    cursor: str = strawberry.field(
        description="The position of the change log at its raising: ask for 'events' before it to see how it came."
    )

    @resolved(
        Connector | None,
        "The connector that it is about; null for a system as a whole, or once retention has removed it.",
    )
    async def connector(self: Any, info: Info) -> Any:
        return await notices.connector_of_notice(info.context, self)

    @resolved(Job | None, "The job that it began with; null when it is about none, or once retention has removed it.")
    async def job(self: Any, info: Info) -> Any:
        return await notices.job_of_notice(info.context, self)

    @resolved(list[NoticeDelivery], "What became of telling it, in the order of telling; empty when nobody wanted it.")
    async def deliveries(self: Any, info: Info) -> Any:
        return await notices.deliveries(info.context, self)


@strawberry.type(description="One notice's place in a list.")
class NoticeEdge:
    cursor: str = strawberry.field(description="Opaque; hand it back as 'after' or 'before'.")
    node: Notice = strawberry.field(description="The notice.")


@strawberry.type(description="A page of notices, newest first.")
class NoticeConnection(NumberedPage):
    edges: list[NoticeEdge] = strawberry.field(description="The page's notices, each with its cursor.")
    nodes: list[Notice] = strawberry.field(description="The same without cursors.")
