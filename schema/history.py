"""The past beyond what an upstream remembers: a connector in buckets of time, and outages."""

from datetime import datetime
from typing import Annotated

import strawberry

from connectory.model import ConnectorHealth, ConnectorStatus, SystemErrorCode
from resolvers.history import MOST_BUCKETS
from resolvers.vocabulary import HistoryBucketSize
from schema.relay import CountedPage
from schema.scalars import Long

HistoryFrom = Annotated[
    datetime | None,
    strawberry.argument(
        name="from",
        description="Where the first bucket begins; seven days before 'to' without it. Local midnight, say.",
    ),
]
HistoryTo = Annotated[
    datetime | None,
    strawberry.argument(description="Where the last bucket ends, cut short if need be; now without it, and at most."),
]
HistoryBucketArgument = Annotated[
    HistoryBucketSize,
    strawberry.argument(description=f"How long a bucket is; at most {MOST_BUCKETS:,} of them are given."),
]


@strawberry.type(
    description=(
        "A connector during a stretch of time. Null where nothing is known of that time: before the connector was "
        "first seen, while it was gone, where no gateway watched its system in all of it, and beyond what retention "
        "keeps. While its system does not answer, or has asked to wait, the last known values hold."
    )
)
class ConnectorHistoryBucket:
    #: 'from' is a keyword of Python
    from_: datetime = strawberry.field(name="from", description="Where it begins.")
    to: datetime = strawberry.field(description="Where it ends; that moment belongs to the next one.")
    status: ConnectorStatus | None = strawberry.field(
        description="The connector's status at the end of the bucket, or when it was last watched within."
    )
    health: ConnectorHealth | None = strawberry.field(description="Its health at that moment.")
    worst_health: ConnectorHealth | None = strawberry.field(
        description="Its worst health within: FAILING before DEGRADED before UNKNOWN before HEALTHY."
    )
    docs_indexed: Long | None = strawberry.field(
        description="Its documents in the index at that moment; null when not reported, too."
    )
    jobs_succeeded: int | None = strawberry.field(
        description=(
            "How many jobs that move content ended well within, those with some failed documents included. Where no "
            "end is told, a job counts when it was last seen. Of what nobody watched, at least so many: those that "
            "were told later; null when none was."
        )
    )
    jobs_failed: int | None = strawberry.field(description="How many ended by an error.")
    jobs_other: int | None = strawberry.field(description="How many ended otherwise: canceled or interrupted.")
    system_down_seconds: float | None = strawberry.field(
        description="Seconds within for which its system was asked and did not answer."
    )


@strawberry.type(description="How long a system did not answer, from entering DOWN or AUTH_FAILED to leaving them.")
class Outage:
    started_at: datetime = strawberry.field(description="When it was found to be down.")
    ended_at: datetime | None = strawberry.field(description="When it answered again; null while it lasts.")
    code: SystemErrorCode = strawberry.field(description="What it began with, for programs.")
    message: str = strawberry.field(description="What it began with, for people; holds no secret.")


@strawberry.type(description="One outage's place in a list.")
class OutageEdge:
    cursor: str = strawberry.field(description="Opaque; hand it back as 'after'.")
    node: Outage = strawberry.field(description="The outage.")


@strawberry.type(description="A page of outages, newest first.")
class OutageConnection(CountedPage):
    edges: list[OutageEdge] = strawberry.field(description="The page's outages, each with its cursor.")
    nodes: list[Outage] = strawberry.field(description="The same without cursors.")
