"""What may be done: one field for each action, and what each answers once it is done or failed."""

from typing import Annotated, Any

import strawberry

from connectory.model import ActionFailureCode
from resolvers import actions
from schema.fields import Info, root
from schema.notices import Notice
from schema.systems import System


@strawberry.type(description="The one shape in which an action says no.")
class ActionFailed:
    code: ActionFailureCode = strawberry.field(description="Why, for programs.")
    message: str = strawberry.field(description="Why, for people; holds no secret.")
    upstream_status: int | None = strawberry.field(
        description="The upstream's HTTP status; null where it was not asked or did not answer."
    )
    retry_after_seconds: float | None = strawberry.field(
        description="Seconds to wait before trying again; null when waiting does not help or nobody knows."
    )


@strawberry.type(description="The system has been polled.")
class SystemRefreshed:
    system: System = strawberry.field(
        description="As it is after the poll, whether that succeeded or failed: look at its health and lastError."
    )


@strawberry.type(description="Somebody has seen to the notice.")
class NoticeAcknowledged:
    notice: Notice = strawberry.field(description="The notice; if somebody was there first, with that name and time.")


RefreshSystemResult = Annotated[
    SystemRefreshed | ActionFailed,
    strawberry.union("RefreshSystemResult", description="What refreshSystem answers."),
]
AcknowledgeNoticeResult = Annotated[
    NoticeAcknowledged | ActionFailed,
    strawberry.union("AcknowledgeNoticeResult", description="What acknowledgeNotice answers."),
]


@strawberry.type(
    description=(
        "What may be done. Expected failures are answers, of type ActionFailed. What has begun goes on when its client "
        "leaves; the error OUTCOME_UNKNOWN says that it has taken longer than the gateway waits, and may yet be done."
    )
)
class Mutation:
    @root(
        RefreshSystemResult,
        "Ask for a fresh poll of one system now. Needs the role OPERATOR. Skips a back-off and a hold for refused "
        "credentials, never a Retry-After. Of one system an operation gets one poll, however often it asks.",
    )
    async def refresh_system(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The system's name in the configuration.")],
    ) -> Any:
        return await actions.refresh_system(info.context, name)

    @root(
        AcknowledgeNoticeResult,
        "Say that you see to a notice, so that others need not. Needs the role OPERATOR. Whoever was first stays.",
    )
    async def acknowledge_notice(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The notice's id.")],
    ) -> Any:
        return await actions.acknowledge_notice(info.context, id)
