"""A web hook over real HTTP that answers as the test says: down, slow, refusing, asking to wait, closing too early."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from connectory.notices.settings import ReceiverSettings
from connectory.web.serving import serving

SECRET = "a secret of the receiver"


@dataclass(frozen=True)
class Message:
    """One request, and the status that it was given; None: the connection was closed instead."""

    headers: Mapping[str, str]
    body: bytes
    status: int | None

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["Connectory-Delivery"]

    @property
    def what(self) -> tuple[str, str]:
        """The phase and what the notice is about."""
        return self.told["phase"], self.told["notice"]["title"]


class Receiver:
    """``answers`` are used one after the other, then 200 for ever: a status, or a function that gives a response."""

    def __init__(self, *answers: int | Callable[[], web.Response | None]) -> None:
        self.answers = list(answers)
        self.got: list[Message] = []
        #: while it is cleared, no request is answered
        self.open = asyncio.Event()
        self.open.set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/in?key=of-the-url"

    def settings(self, name: str = "pager", **more: Any) -> ReceiverSettings:
        form = {"format": "json", "secret": SECRET} if more.get("format") != "slack" else {}
        return ReceiverSettings.model_validate({"name": name, "url": self.url, **form, **more})

    @property
    def accepted(self) -> list[Message]:
        return [message for message in self.got if message.status is not None and message.status < 300]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Receiver"]:
        """While this block runs it is up, always at the same address."""
        app = web.Application()
        app.router.add_post("/hooks/in", self._answer)
        async with serving(app, "127.0.0.1", self.port):
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else 200
        response = web.Response(status=answer) if isinstance(answer, int) else answer()
        self.got.append(Message(dict(request.headers), body, None if response is None else response.status))
        if response is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return response
