"""What may be asked: Strawberry types that describe records, without any I/O."""

from collections.abc import Callable, Sequence

import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig

from schema.bindings import bind
from schema.documents import DocumentCache, TokenLimit, VerdictCache
from schema.events import EVENTS
from schema.mutation import Mutation
from schema.query import Query
from schema.scalars import SCALARS
from schema.subscription import Subscription

Extension = type[SchemaExtension] | Callable[[], SchemaExtension]


def build_schema(extensions: Sequence[Extension] = ()) -> strawberry.Schema:
    """The schema, with the document caches and whatever else shall run around each operation.

    Extensions are classes or factories, never instances: an instance would be shared by operations that run at once.
    """
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=EVENTS,
        extensions=(*extensions, TokenLimit, DocumentCache, VerdictCache),
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    bind(schema)
    return schema
