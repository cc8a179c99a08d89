"""What handlers tell the access log of the request that they answer."""

from aiohttp import web

#: Says that the process lives, and nothing else.
ALIVE = "/healthz"
#: What probes and scrapers ask for.
PROBES = frozenset({ALIVE, "/readyz", "/metrics"})
#: The present request's: words beside those that every line has, as ``outcome`` and ``operation``.
TOLD = web.RequestKey("told", dict[str, str])
#: Characters of a word: it comes from outside.
_LONGEST = 200


def tell(request: web.Request, **words: str | None) -> None:
    """Add words to the request's line."""
    told = {name: word[:_LONGEST] for name, word in words.items() if word}
    request[TOLD] = {**request.get(TOLD, {}), **told}
