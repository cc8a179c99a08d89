"""Arguments that several fields take, each described once. Those that choose a page are in relay.py."""

from typing import Annotated

import strawberry

from resolvers.vocabulary import ConnectorOrderField, JobOrderField, SortDirection
from schema.filters import ConnectorFilter, EventFilter, JobFilter, NoticeFilter


@strawberry.input(description="How connectors are sorted. Nulls come last in both directions; ties are broken by id.")
class ConnectorOrder:
    field: ConnectorOrderField = strawberry.field(description="What to sort by.")
    direction: SortDirection = strawberry.field(default=SortDirection.ASC, description="Which end comes first.")


@strawberry.input(description="How jobs are sorted. Nulls come last in both directions; ties are broken by id.")
class JobOrder:
    field: JobOrderField = strawberry.field(description="What to sort by.")
    direction: SortDirection = strawberry.field(default=SortDirection.DESC, description="Which end comes first.")


ConnectorFilterArgument = Annotated[
    ConnectorFilter | None,
    strawberry.argument(description="Which connectors; without it all but removed ones."),
]
ConnectorOrderArgument = Annotated[
    ConnectorOrder | None,
    strawberry.argument(description="How to sort; by NAME, ascending, without it."),
]
JobFilterArgument = Annotated[
    JobFilter | None,
    strawberry.argument(description="Which jobs; all without it."),
]
JobOrderArgument = Annotated[
    JobOrder | None,
    strawberry.argument(description="How to sort; newest first without it."),
]
EventFilterArgument = Annotated[
    EventFilter | None,
    strawberry.argument(description="Which events; all without it."),
]
NoticeFilterArgument = Annotated[
    NoticeFilter | None,
    strawberry.argument(description="Which notices; all without it."),
]
