"""Fields that a resolver answers. All others are plain annotations: attributes of the record."""

from collections.abc import Callable
from typing import Annotated, Any

import strawberry

from resolvers.context import Context

#: What a resolver learns of its operation.
Info = strawberry.Info[Context, None]


def resolved(type_: Any, description: str) -> Callable[[Callable[..., Any]], Any]:
    """``strawberry.field`` over a resolver that returns records, in words that mypy can check.

    The resolver's ``self`` is the record that the type describes, never an instance of the class it stands in.
    """
    decorator: Callable[[Callable[..., Any]], Any] = strawberry.field(graphql_type=type_, description=description)
    return decorator


def root(type_: Any, description: str) -> Callable[[Callable[..., Any]], Any]:
    """A field of Query or Mutation: nullable, so that one that fails leaves its siblings' answers standing."""
    return resolved(type_ | None, f"{description} Null only together with an error.")


def lazily(name: str, module: str) -> Any:
    """The type of that name in a module that imports the asking one: GraphQL's types refer to each other in circles,
    and our modules do not. Strawberry looks it up when the schema is built, and fails then where there is none."""
    annotated: Any = Annotated
    return annotated[name, strawberry.lazy(module)]
