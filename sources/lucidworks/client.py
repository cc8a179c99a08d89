"""What goes over the wire to a LucidWorks or Fusion deployment: the base path, Basic credentials, error bodies."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from connectory.http.client import Answer, HttpClient, NoBody
from connectory.http.headers import basic
from sources.base import SourceAuthFailed, SourceError, SourceMismatch
from sources.lucidworks.redaction import redacted
from sources.lucidworks.settings import LucidworksSettings
from sources.rounds import CONCURRENCY


class LucidworksClient(HttpClient):
    """Requests below ``/api``, which is added where the configured URL lacks it (lucidworks.md §1)."""

    def __init__(self, settings: LucidworksSettings) -> None:
        headers = {}
        if settings.username is not None and settings.password is not None:
            headers["Authorization"] = basic(settings.username, settings.password)
        super().__init__(settings, headers=headers)
        if "api" not in urlsplit(self._base).path.split("/"):
            self._base += "/api"
        self._has_credentials = bool(headers)
        self._gate = asyncio.Semaphore(CONCURRENCY)

    async def _fetch(self, path: str, params: Mapping[str, Any] | None, *, missing_ok: bool = False) -> Any:
        # the time limit of a request includes its wait for a connection, so nobody waits for one
        async with self._gate:
            return await self.get(path, params, missing_ok=missing_ok)

    async def find(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded body; None for a 404, ``null`` and an empty body."""
        try:
            return await self._fetch(path, params, missing_ok=True)
        except NoBody:
            return None

    async def find_of(self, path: str) -> Any:
        """What is told of one data source; None for ``null``, an empty body, and a 404 in the API's own words.

        A 404 of somebody in between says nothing of the data source: taken for an answer, it would hide crawls.
        """
        async with self._gate:
            try:
                answer = await self.request("GET", path)
            except NoBody:
                return None
        if answer.status == 404 and isinstance(answer.body, Mapping | list):
            return None
        if answer.status == 404:
            raise self.refusal(answer, f"GET {path}")
        return answer.body

    async def find_list(self, path: str, params: Mapping[str, Any] | None = None) -> list[Any] | None:
        """The list that a route answers; None when the server does not have the route. Raises SourceMismatch when the
        answer is no list."""
        try:
            body = await self.find(path, params)
        except SourceError as error:
            if error.status == 405:
                return None
            raise
        return None if body is None else _list(path, body)

    async def list_at(self, path: str, params: Mapping[str, Any] | None = None) -> list[Any]:
        """The list that a route answers. Raises SourceMismatch when the answer is none."""
        return _list(path, await self._fetch(path, params))

    def refusal(self, answer: Answer, what: str) -> Exception:
        error = super().refusal(answer, what)
        if isinstance(error, SourceAuthFailed) and not self._has_credentials:
            return SourceAuthFailed(
                f"{error}. The server asks for credentials: set username and password", status=error.status
            )
        return error

    def sentence(self, body: Any) -> str:
        """Both forms of errors, the envelope and the bare array (§10), and Fusion's object with a message."""
        listed = body.get("errors") if isinstance(body, Mapping) else body
        if isinstance(listed, list):
            return "; ".join(filter(None, map(_sentence, listed)))[:300]
        if isinstance(body, Mapping):
            return _sentence(body)[:300]
        return redacted(super().sentence(body)) or ""


def _list(path: str, body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise SourceMismatch(f"GET {path}: expected a list, got {type(body).__name__}")
    return body


def _sentence(error: object) -> str:
    if not isinstance(error, Mapping):
        return ""
    message, key = error.get("message"), error.get("key")
    sentence = (redacted(message) or "") if isinstance(message, str) else ""
    return f"{key}: {sentence}" if key and isinstance(key, str) and sentence else sentence
