"""Requests to one system: an aiohttp ``ClientSession`` that answers with decoded JSON.

Every failure leaves here as one of the errors of ``connectory.http.errors``; no secret leaves in a message.
"""

import base64
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr

from connectory.http.decoding import decode
from connectory.http.errors import (
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
)
from connectory.http.headers import retry_after
from connectory.http.reasons import reason
from connectory.model import SystemErrorCode
from connectory.redaction import REDACTED

#: Bytes of an answer, unpacked; more is a mistake or an attack.
_LARGEST = 256 << 20
#: Characters; anything shorter would be found in every other word.
_SHORTEST_SECRET = 4
#: Connections at once to one system.
_CONNECTIONS = 4


class ClientSettings(Protocol):
    """What a client needs to know of its system: ``sources.base.SystemSettings`` has it.

    Iterating gives its fields by name, so that the values of those that are secret are taken out of every message.
    """

    @property
    def base_url(self) -> str:
        """Without a trailing slash."""

    @property
    def timeout(self) -> float:
        """Seconds for one request, its wait for a connection included."""

    @property
    def verify_tls(self) -> bool: ...

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: ``path`` begins after the system's base URL, ``body`` is sent as JSON where it is not None."""

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    body: Any = None
    #: takes the entries of a large 2xx answer, see ``decode``; it should not raise
    each: Callable[[Any], Any] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's answer: status, headers, and its body decoded from JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class NoBody(SourceMismatch):
    """A success without a body, where JSON was expected."""


class HttpClient:
    """Requests to one system.

    Raises, from every request: SourceUnreachable (connection, name, TLS, timeout, 5xx), SourceRateLimited (429),
    SourceAuthFailed (401, 403), SourceMismatch (any other unexpected status, or a body that is not JSON).
    """

    def __init__(self, settings: ClientSettings, *, headers: Mapping[str, str] | None = None) -> None:
        self._base = settings.base_url
        self._headers = {"Accept": "application/json", "User-Agent": "connectory", **(headers or {})}
        self._timeout = settings.timeout
        self._verify_tls = settings.verify_tls
        self._secrets = _spellings(settings, self._headers)
        self._session: aiohttp.ClientSession | None = None
        #: requests sent, for tests and metrics
        self.requests = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._verify_tls),
                # an upstream's cookies are nobody's business between polls
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, params: Mapping[str, Any] | None = None, *, missing_ok: bool = False) -> Any:
        """The decoded body; None for a 404 when ``missing_ok``."""
        return await self._body("GET", path, params=params, missing_ok=missing_ok)

    async def post(self, path: str, body: Any) -> Any:
        return await self._body("POST", path, body=body)

    async def _body(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        missing_ok: bool = False,
    ) -> Any:
        answer = await self.request(method, path, params=params, body=body)
        if answer.status == 404 and missing_ok:
            return None
        if not 200 <= answer.status < 300:
            refusal = self.refusal(answer, f"{method} {path}")
            refusal.args = (self.redacted(str(refusal)),)
            raise refusal
        return answer.body

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        each: Callable[[Any], Any] | None = None,
    ) -> Answer:
        """One request. Answers of 2xx and 404 are returned when they are JSON; other statuses go to ``refusal``."""
        return await self.send(Request(method, path, params, body, each))

    async def send(self, request: Request) -> Answer:
        """The same of a request put together. Adapters override it where requests are signed or counted."""
        try:
            return await self._send(request)
        except SourceError as error:
            # upstreams and proxies like to quote what they were sent
            error.args = (self.redacted(str(error)),)
            raise

    def redacted(self, text: str) -> str:
        """``text`` without the configured credentials, however they are spelled."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    async def _send(self, request: Request) -> Answer:
        what = str(request)
        self.requests += 1
        try:
            async with self._open().request(
                request.method,
                self._base + request.path,
                params=request.params,
                json=request.body,
                allow_redirects=False,
            ) as response:
                raw = await _read(response, what)
                status, headers = response.status, response.headers
        except TimeoutError:
            raise SourceUnreachable(
                f"{what}: no complete answer within {self._timeout:g} s", code=SystemErrorCode.TIMEOUT
            ) from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise SourceUnreachable(f"{what}: TLS refused: {reason(error)}", code=SystemErrorCode.TLS) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceUnreachable(f"{what}: {reason(error)}") from None
        try:
            decoded = await decode(raw, request.each if 200 <= status < 300 else None)
        except ValueError:
            if 200 <= status < 300:
                kind = headers.get("Content-Type", "no content type")
                message = f"{what}: {status} with a body that is not JSON ({kind}, {len(raw)} bytes)"
                raise (SourceMismatch if raw else NoBody)(message, status=status) from None
            decoded = None
        answer = Answer(status, headers, decoded)
        if status >= 300 and status != 404:
            raise self.refusal(answer, what)
        return answer

    def refusal(self, answer: Answer, what: str) -> Exception:
        """The error that an answer without success stands for. Adapters override it where bodies say more."""
        sentence = self.sentence(answer.body)
        message = f"{what}: {answer.status}" + (f": {sentence}" if sentence else "")
        wait = retry_after(answer.headers)
        if answer.status in (401, 403):
            return SourceAuthFailed(message, status=answer.status)
        if answer.status == 429:
            return SourceRateLimited(message, retry_after=wait, status=429)
        if answer.status >= 500:
            return SourceUnreachable(
                message, code=SystemErrorCode.UPSTREAM_ERROR, status=answer.status, retry_after=wait
            )
        return SourceMismatch(message, status=answer.status)

    def sentence(self, body: Any) -> str:
        """The sentence in an error body, at most 300 characters; "" when there is none."""
        return body[:300] if isinstance(body, str) else ""


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


async def _read(response: aiohttp.ClientResponse, what: str) -> bytes:
    """The body, unpacked. Raises SourceMismatch for one that no system of ours would send."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _LARGEST:
            raise SourceMismatch(f"{what}: {response.status} with more than {_LARGEST:,} bytes", status=response.status)
        pieces.append(piece)
    return b"".join(pieces)


def _spellings(settings: ClientSettings, headers: Mapping[str, str]) -> list[str]:
    """The configured secrets as they may come back in a text, the longest first."""
    plain = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    sent = [headers[name].partition(" ")[2] for name in headers if name.lower() == "authorization"]
    found = {text for text in (*plain, *sent) if text}
    found |= {quote(text, safe="") for text in found}
    found |= {base64.b64encode(text.encode()).decode() for text in plain if text}
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)
