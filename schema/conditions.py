"""Conditions: what connectors and jobs have in common to say about their state."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from connectory.model import ConditionCode, ConditionSeverity
from schema import enums as enums


@strawberry.type(description="Why something is in the state it is in: a reason with evidence, not a verdict.")
class Condition:
    code: ConditionCode = strawberry.field(description="The reason, for programs.")
    severity: ConditionSeverity = strawberry.field(description="How much it matters.")
    message: str = strawberry.field(description="The reason in a sentence, for people.")
    since: datetime = strawberry.field(description="Since when it holds, as far as was observed.")
    evidence: JSON | None = strawberry.field(
        description="The numbers and times it rests on, keys depending on the code; null when there are none."
    )
    job_id: strawberry.ID | None = strawberry.field(
        description="Id of the open job that it is about, as in Job.id; null when it is about the connector itself."
    )
