"""Relay's Node and pages, the numbers for numbered pagers beside them, and the five arguments that choose a page."""

from typing import Annotated, Any

import strawberry

from resolvers.arguments import MAXIMUM_SIZE
from resolvers.paging import DEFAULT_SIZE
from schema.fields import resolved

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many from the front, 1 to {MAXIMUM_SIZE}; {DEFAULT_SIZE} if neither this nor 'last' is given."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(
        description="A cursor of this list: the page begins behind it. Usually pageInfo.endCursor of the page before. "
        "An empty text is no cursor."
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(description=f"How many from the back, 1 to {MAXIMUM_SIZE}; not together with 'first'."),
]
Before = Annotated[
    str | None,
    strawberry.argument(
        description="A cursor of this list: the page ends ahead of it. Usually pageInfo.startCursor of the page "
        "behind. An empty text is no cursor."
    ),
]
Offset = Annotated[
    int | None,
    strawberry.argument(description="How many to skip from the front, for numbered pagers; with 'first' only."),
]


@strawberry.interface(description="Whatever can be fetched again by its id alone.")
class Node:
    id: strawberry.ID = strawberry.field(
        description="Opaque, unique across types and systems, and stable: hand it to node, or keep it as a cache key."
    )


COUNT_BY = "How many of all that the filter lets through fall under each value, most first; for filter bars and badges."


@strawberry.type(description="Where a page stands within its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow behind this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are some ahead of this page.")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first edge of this page; null when the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description=(
            "Cursor of the last edge of this page; null when the page is empty. Of events it is the position read to, "
            "filtered-out ones included, and never null."
        )
    )


@strawberry.type(description="One value and how many have it. The value is null for those that have none.")
class FacetCount:
    value: str | None = strawberry.field(
        description="The value: a name, a slug, or an enum value's name. Null for those that have none."
    )
    count: int = strawberry.field(description="How many have it.")


@strawberry.type(description="A page of a list that can be counted.")
class CountedPage:
    """Shared by connections and never itself in the schema. The record counts only when it is asked to."""

    page_info: PageInfo = strawberry.field(description="Where this page stands within the list.")

    @resolved(int, "How many the filter lets through in all, on every page together.")
    async def total_count(self: Any) -> int:
        return int(await self.total_count())


@strawberry.type(description="A page of a list that can be counted and paged by number.")
class NumberedPage(CountedPage):
    """As above, for those that also take an offset."""

    @resolved(int, "1-based number of this page, for numbered pagers.")
    async def current_page(self: Any) -> int:
        return int(await self.current_page())

    @resolved(int, "How many pages of this size there are; 0 when the list is empty.")
    async def total_pages(self: Any) -> int:
        return int(await self.total_pages())
