"""Arguments that several fields take, each described once. Those that choose a page are in lists.py."""

from typing import Annotated

import strawberry

from schema.filters import ConnectorFilter, EventFilter, JobFilter, NoticeFilter
from schema.orders import ConnectorOrder, JobOrder

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
