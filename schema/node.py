"""Relay's Node: what has an id for ever."""

import strawberry


@strawberry.interface(description="Whatever can be fetched again by its id alone.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="Opaque, unique across types and systems, and stable: hand it to node, or keep it as a cache key."
    )
