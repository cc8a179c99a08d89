"""What may be done: one field for each action, each answered once it is done or failed."""

from typing import Annotated, Any

import strawberry

from resolvers import actions
from schema.actions import AcknowledgeNoticeResult, RefreshSystemResult
from schema.fields import root
from schema.info import Info


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
