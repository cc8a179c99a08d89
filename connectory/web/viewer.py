"""Who asks, as long as nobody has to authenticate: decided for each request, and for each WebSocket's opening."""

from collections.abc import Callable

from aiohttp import web

from connectory.config.settings import AuthSettings, ServerSettings, is_loopback
from connectory.model import Role
from resolvers.context import Viewer

_ANYBODY = Viewer("anonymous", Role.VIEWER)
_LOCAL = Viewer("local", Role.OPERATOR)
#: What the names of headers begin with by which a proxy says that it asks for somebody else.
_FORWARDED = ("forwarded", "x-forwarded-")


def viewing(server: ServerSettings, auth: AuthSettings) -> Callable[[web.Request], Viewer]:
    """Tells who sends a request: anybody may read.

    With ``auth.anonymous = "OPERATOR"`` who comes over loopback to a loopback address operates, unless a proxy passes
    the request on and says so. One that does not say so cannot be told from somebody on this machine.
    """
    if auth.anonymous == "VIEWER" or not server.is_local:
        return lambda _: _ANYBODY
    return lambda request: _LOCAL if _is_from_here(request) else _ANYBODY


def _is_from_here(request: web.Request) -> bool:
    return is_loopback(request.remote or "") and not any(
        name.lower().startswith(_FORWARDED) for name in request.headers
    )
