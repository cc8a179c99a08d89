"""The access log: one line per request, with what handlers know of the one that they answer."""

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

#: Says that the process lives, and nothing else.
ALIVE = "/healthz"
#: What probes and scrapers ask for.
PROBES = frozenset({ALIVE, "/readyz", "/metrics"})
#: The present request's: words beside those that every line has, as ``outcome`` and ``operation``.
EXTRA = web.RequestKey("access_log_extra", dict[str, str])
#: Characters of a word: it comes from outside.
_LONGEST = 200


def add_extra(request: web.Request, **words: str | None) -> None:
    """Add words to the request's line."""
    extra = {name: word[:_LONGEST] for name, word in words.items() if word}
    request[EXTRA] = {**request.get(EXTRA, {}), **extra}


class AccessLogger(AbstractAccessLogger):
    """One line per request: client, method, path, status, bytes, milliseconds, and what a handler knows (``EXTRA``).

    No query, no body, and of the headers what was refused alone. Nothing of probes and scrapes that went well.
    """

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        path = request.rel_url.raw_path
        if path in PROBES and response.status < 400:
            return
        extra = request.get(EXTRA, {})
        outcome = extra.get("outcome")
        self.logger.info(
            "%s %s %d%s",
            request.method,
            path,
            response.status,
            f" {outcome}" if outcome else "",
            extra={
                "action": "http.request",
                "client": request.remote,
                "method": request.method,
                "path": path,
                "status": response.status,
                "bytes": response.body_length,
                "ms": round(time * 1000, 1),
                **extra,
            },
        )
