"""What lists are sorted by. Nulls come last in both directions; ties are broken by id."""

import strawberry

from resolvers.vocabulary import ConnectorOrderField, JobOrderField, SortDirection
from schema import enums as enums


@strawberry.input(description="How connectors are sorted. Nulls come last in both directions; ties are broken by id.")
class ConnectorOrder:
    field: ConnectorOrderField = strawberry.field(description="What to sort by.")
    direction: SortDirection = strawberry.field(default=SortDirection.ASC, description="Which end comes first.")


@strawberry.input(description="How jobs are sorted. Nulls come last in both directions; ties are broken by id.")
class JobOrder:
    field: JobOrderField = strawberry.field(description="What to sort by.")
    direction: SortDirection = strawberry.field(default=SortDirection.DESC, description="Which end comes first.")
