"""Which media type to answer in (RFC 9110 §12.5.1, and GraphQL over HTTP for what its own type means)."""

from collections.abc import Sequence

from connectory.execution.answer import JSON

GRAPHQL = "application/graphql-response+json"
HTML = "text/html"
EVENT_STREAM = "text/event-stream"

#: A range that names a type, one that names its main type, and ``*/*``; the closer one decides.
_EXACT, _MAIN, _ANY = 3, 2, 1


def choose(accept: str | None) -> str | None:
    """GRAPHQL or JSON, None when the client takes neither. No header and ``*/*`` mean JSON, for old clients' sake."""
    return best(accept, (GRAPHQL, JSON))


def wants_page(accept: str | None) -> bool:
    """Whether this is a browser's address bar: ``text/html`` is named, and nothing of ours is preferred to it."""
    return accept is not None and _rank(accept, HTML)[1] == _EXACT and best(accept, (HTML, GRAPHQL, JSON)) == HTML


def takes_events(accept: str | None) -> bool:
    """Whether the client asks for an event stream by its name; who says ``*/*`` does not expect one."""
    return accept is not None and _rank(accept, EVENT_STREAM)[1] == _EXACT and best(accept, (EVENT_STREAM,)) is not None


def best(accept: str | None, offers: Sequence[str]) -> str | None:
    """The offer that is wanted most; of equals, one that is named, then the first named, then JSON."""
    if accept is None or not accept.strip():
        return JSON if JSON in offers else None
    ranked = [(*_rank(accept, offer), offer) for offer in offers]
    wanted = [(quality, closeness, offer) for quality, closeness, offer in ranked if quality > 0]
    if not wanted:
        return None
    quality, closeness, first = max(wanted, key=lambda rank: rank[:2])
    tied = [offer for *rank, offer in wanted if rank == [quality, closeness]]
    return JSON if closeness != _EXACT and JSON in tied else first


def _rank(accept: str, offer: str) -> tuple[float, int]:
    """The quality that ``accept`` gives to ``offer``, and how closely the range that says so names it."""
    quality, closeness = 0.0, 0
    main = offer.partition("/")[0]
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        close = {offer: _EXACT, f"{main}/*": _MAIN, "*/*": _ANY}.get(name, 0)
        if close > closeness:
            closeness, quality = close, _quality(parameters)
    return quality, closeness


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
