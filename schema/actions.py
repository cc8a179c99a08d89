"""What actions answer: what they did, or the one shape in which they say no."""

from typing import Annotated

import strawberry

from connectory.model import ActionFailureCode
from schema import enums as enums
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
