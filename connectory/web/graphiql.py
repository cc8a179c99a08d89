"""GraphiQL for people: the page at ``GET /graphql`` and the files it loads.

``web/`` is built to ``static/graphiql`` (``npm ci && npm run build``): ``index.html`` and, under ``assets/``, files
whose names carry a hash of their content. Where nobody could build it, the page that Strawberry ships takes its place;
that one loads its code from the internet, and says so.
"""

from pathlib import Path

from aiohttp import web
from strawberry.http.ides import get_graphql_ide_html

#: What the build of ``web/`` makes.
STATIC = Path(__file__).parent.parent / "static" / "graphiql"
#: Where the page looks for its files; ``web/vite.config.js`` says the same, relative to the page.
PREFIX = "/graphql/static/"

#: What the page that was not built says of itself.
NOTE = "This page needs the internet: Node.js was missing when Connectory was built, so GraphiQL comes from outside."

_POLICY = "; ".join(
    [
        "default-src 'self'",
        # Monaco and GraphiQL write style attributes and elements of their own.
        "style-src 'self' 'unsafe-inline'",
        "worker-src 'self' blob:",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_BANNER = f"""
    <style>#graphiql {{ height: calc(100vh - 2rem) !important; }}</style>
    <p role="note" style="box-sizing: border-box; height: 2rem; margin: 0; padding: 0 1rem; overflow: hidden;
      white-space: nowrap; background: #fff3c4; color: #513c06; font: 0.875rem/2rem sans-serif">{NOTE}</p>"""


def is_built() -> bool:
    """Whether the page that needs nothing from outside is there."""
    return (STATIC / "index.html").is_file()


def html() -> str:
    """The page: the built one, else Strawberry's with a line on top that says what it needs."""
    if is_built():
        return (STATIC / "index.html").read_text(encoding="utf-8")
    return get_graphql_ide_html("graphiql").replace("<body>", f"<body>{_BANNER}", 1)


def security_headers() -> dict[str, str]:
    """What the page is served with: nobody may frame it, and the built page reaches its own host only.

    Strawberry's page keeps scripts in its text and on a foreign host, so that its policy only forbids framing.
    """
    return {
        "Content-Security-Policy": _POLICY if is_built() else "frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def response() -> web.Response:
    """The page as a browser gets it, asked for anew each time: it names the files of the latest build."""
    headers = security_headers() | {"Cache-Control": "no-cache"}
    return web.Response(text=html(), content_type="text/html", headers=headers)


def add_static(app: web.Application) -> None:
    """Serve the built files below PREFIX, to be kept by browsers for good; adds nothing where there are none."""
    if is_built():
        app.router.add_static(PREFIX, STATIC / "assets")
        app.on_response_prepare.append(_keep)


async def _keep(request: web.Request, response: web.StreamResponse) -> None:
    """A name with a hash in it never changes its content."""
    if request.path.startswith(PREFIX) and response.status in (200, 206, 304):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
