"""What may be asked: Strawberry types that describe records, without any I/O."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from connectory.execution.documents import KeptDocuments
from connectory.execution.executor import BoundedExecutor
from schema.bindings import bind
from schema.events import EVENTS
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription


def build_schema() -> strawberry.Schema:
    """The schema, bound to its resolvers."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=EVENTS,
        extensions=[KeptDocuments],
        execution_context_class=BoundedExecutor,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    bind(schema)
    return schema
