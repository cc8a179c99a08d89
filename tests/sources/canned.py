"""An upstream that answers what it was told to, over real HTTP."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sources.simulation import serve


@dataclass(frozen=True)
class Reply:
    """``text`` is sent as it is, with ``content_type`` if ``headers`` tell none; otherwise ``body`` as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    content_type: str = "text/html"

    @classmethod
    def of(cls, example: Mapping[str, Any]) -> "Reply":
        """What an example file writes down: a status, headers, and a body, which as a string is sent as it is."""
        body, headers = example["body"], example["headers"]
        if isinstance(body, str):
            return cls(status=example["status"], headers=headers, text=body)
        if any(name.lower() == "content-type" for name in headers):
            return cls(status=example["status"], headers=headers, text=json.dumps(body))
        return cls(body, example["status"], headers)

    def response(self) -> web.Response:
        if self.text is not None and any(name.lower() == "content-type" for name in self.headers):
            return web.Response(status=self.status, text=self.text, headers=self.headers)
        if self.text is not None:
            return web.Response(
                status=self.status, text=self.text, content_type=self.content_type, headers=self.headers
            )
        return web.json_response(self.body, status=self.status, headers=self.headers)


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class Canned:
    """``answers`` by "METHOD /path"; a callable is given the request. Anything else is answered 404."""

    answers: dict[str, Reply | Callable[[Asked], Reply]]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers), body)
        self.asked.append(asked)
        answer = self.answers.get(f"{request.method} {request.path}", Reply({"detail": "Not Found"}, 404))
        return (answer(asked) if callable(answer) else answer).response()


@asynccontextmanager
async def canned(answers: Mapping[str, Reply | Callable[[Asked], Reply]]) -> AsyncIterator[Canned]:
    upstream = Canned(dict(answers))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", upstream.handle)
    async with serve(app) as running:
        upstream.url = running.url
        yield upstream
