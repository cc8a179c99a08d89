"""Which ``Host`` and which ``Origin`` may reach the gateway, so that no web page can reach one on somebody's laptop.

A page that points its own name at 127.0.0.1 (DNS rebinding) fails by its Host; a page that calls us across origins
fails by its Origin. Clients that are no browsers send no Origin and are not concerned. Whoever probes a gateway that
other machines reach knows it by an address that may change; on loopback a page could come that way.

CORS follows from the same checks. aiohttp-cors would not do: it sends no ``Vary: Origin``, so that a cache could show
one page's answer to another, and leaves what no route answers without headers.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from connectory.config.settings import DEFAULT_PORTS, ServerSettings, host_and_port, host_name, origin
from connectory.execution.answer import refuse
from connectory.web.access_log import ALIVE, PROBES, add_extra

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_METHODS = "GET, POST, OPTIONS"
#: Seconds that a browser may remember the answer to its preflight.
_REMEMBER = "600"
#: The present request's Origin, where it is allowed and not our own.
_FOREIGN = web.RequestKey("foreign_origin", str)


class Guard:
    """The checks for one server."""

    def __init__(self, server: ServerSettings) -> None:
        self._hosts = _LOCAL | {_canonical(server.host), *server.allowed_hosts}
        self._any_host = "*" in server.allowed_hosts
        #: paths that are answered under any name, to anybody
        self._unchecked = frozenset({ALIVE}) if server.is_local else PROBES
        self._origins = {origin(allowed) for allowed in server.allowed_origins}

    def knows_host(self, header: str | None) -> bool:
        """Whether the Host header names us; its port does not matter."""
        if self._any_host:
            return True
        found = _host(header)
        return found is not None and found[0] in self._hosts

    def knows_origin(self, header: str, host: str | None) -> bool:
        """Whether the Origin header is our own, by the Host header, or an allowed one. ``null`` is neither."""
        found = origin(header)
        return found is not None and (found in self._origins or self._is_own(header, host))

    def _is_own(self, header: str, host: str | None) -> bool:
        claimed, ours = origin(header), _host(host)
        if claimed is None or ours is None:
            return False
        scheme, name, port = claimed
        return (name, port) == (ours[0], ours[1] or DEFAULT_PORTS[scheme])

    def middleware(self) -> Middleware:
        """Refuses with 403, and answers preflights."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in self._unchecked:
                return await handler(request)
            host, sender = request.headers.get(hdrs.HOST), request.headers.get(hdrs.ORIGIN)
            if not self.knows_host(host):
                add_extra(request, refused_host=host)
                return _refuse_host(host)
            if sender is None:
                return await handler(request)
            if not self.knows_origin(sender, host):
                add_extra(request, refused_origin=sender)
                return _refuse_origin(sender)
            if not self._is_own(sender, host):
                request[_FOREIGN] = sender
            if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
                return _preflight(request)
            return await handler(request)

        return check

    async def add_cors_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let an allowed page read the answer; a signal, so that streams and errors carry the headers too."""
        if request.path in self._unchecked:
            return
        sender = request.get(_FOREIGN)
        if sender is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = sender
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Retry-After"
        vary = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{vary}, Origin" if vary else "Origin"


def _preflight(request: web.Request) -> web.Response:
    headers = {hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS, hdrs.ACCESS_CONTROL_MAX_AGE: _REMEMBER}
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
    if wanted:
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = wanted
    return web.Response(status=204, headers=headers)


def _refuse_host(header: str | None) -> web.Response:
    found = _host(header)
    if found is None:
        return refuse(403, "FORBIDDEN_HOST", "The request has no usable Host header.")
    return refuse(
        403,
        "FORBIDDEN_HOST",
        f'This gateway does not answer to the host "{found[0]}". To allow it, add it to allowed_hosts under [server] '
        f'in the configuration: allowed_hosts = ["{found[0]}"].',
    )


def _refuse_origin(header: str) -> web.Response:
    found = origin(header)
    if found is None:
        return refuse(403, "FORBIDDEN_ORIGIN", "Requests from pages without an origin are not answered.")
    scheme, name, port = found
    shown = f"[{name}]" if ":" in name else name
    page = f"{scheme}://{shown}" + ("" if port == DEFAULT_PORTS[scheme] else f":{port}")
    return refuse(
        403,
        "FORBIDDEN_ORIGIN",
        f"Pages of {page} may not use this gateway. To allow them, add the origin to allowed_origins under [server] in "
        f'the configuration: allowed_origins = ["{page}"].',
    )


def _host(header: str | None) -> tuple[str, int | None] | None:
    """Name and port of a Host header; None when it is no such thing."""
    return host_and_port(header) if header else None


def _canonical(name: str) -> str:
    """The bind address as a Host header would spell it; one that cannot stand there is left as it is."""
    try:
        return host_name(name)
    except ValueError:
        return name.lower()
