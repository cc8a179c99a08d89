"""What may be followed: each field gives a feed, which the live layer renders for everybody who asked the same."""

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

import strawberry

from resolvers import feeds
from schema.arguments import EventFilterArgument
from schema.events import Event, JobEvent
from schema.fields import Info
from schema.summaries import SourceSummary

After = Annotated[
    str | None,
    strawberry.argument(
        description="The cursor of the last event that was seen, or an answer's eventCursor: go on from there. An "
        "empty text is no cursor."
    ),
]


def _followed(type_: Any, description: str) -> Callable[[Callable[..., Any]], Any]:
    """``strawberry.subscription`` over a resolver that gives a feed."""
    decorator: Callable[[Callable[..., Any]], Any] = strawberry.subscription(
        graphql_type=AsyncGenerator[type_, None], description=description
    )
    return decorator


@strawberry.type(
    description="What may be followed, by WebSocket (graphql-transport-ws) or by server-sent events. A client that "
    "lost its connection goes on by cursor, on whichever gateway."
)
class Subscription:
    @_followed(
        JobEvent,
        "One job: its present state, then every observed change, until it has ended; then the stream completes. While "
        "somebody follows it, the job is looked at more often. A client that reads too slowly is given the newest "
        "state and, in any case, the end.",
    )
    def job_progress(
        self,
        info: Info,
        job_id: Annotated[strawberry.ID, strawberry.argument(description="The job's id.")],
        after: After = None,
    ) -> Any:
        return feeds.job_feed(job_id, after)

    @_followed(
        Event,
        "Every observed change from a cursor on: replay, then live. A lost stretch is a GapEvent, never silence. "
        "Without 'after', only what comes from now on.",
    )
    def events(self, info: Info, filter: EventFilterArgument = None, after: After = None) -> Any:
        return feeds.event_feed(filter, after)

    @_followed(
        SourceSummary,
        "The summaries whenever one of them changes; the first items are the present state. A source that no connector "
        "reads any more is told once, with zeros.",
    )
    def source_summary_changed(
        self,
        info: Info,
        sources: Annotated[
            list[str] | None, strawberry.argument(description="Slugs of the sources; all without it.")
        ] = None,
    ) -> Any:
        return feeds.summary_feed(sources)
