"""What a resolver is told of its operation."""

import strawberry

from resolvers.context import Context

Info = strawberry.Info[Context, None]
