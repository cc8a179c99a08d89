"""How adapters talk to an upstream: one aiohttp ``ClientSession`` per system.

Every failure leaves here as one of the errors of ``sources.base``; no secret leaves in a message.
"""

import asyncio
import base64
import json
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr

from connectory.model import SystemErrorCode
from sources.base import (
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
    SystemSettings,
)
from sources.discretion import REDACTED

#: Characters of an answer that are decoded between two turns of the event loop: some milliseconds with mapping.
_STRETCH = 1 << 15
#: Bytes of an answer, unpacked; more is a mistake or an attack.
_LARGEST = 256 << 20
#: Characters; anything shorter would be found in every other word.
_SHORTEST_SECRET = 4
#: Seconds that a Retry-After makes us wait at most: what asks for more is asked again by then.
LONGEST_RETRY_AFTER = 3_600.0
#: Connections at once to one system.
_CONNECTIONS = 4


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

    def __init__(self, settings: SystemSettings, *, headers: Mapping[str, str] | None = None) -> None:
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
        """One request. Answers of 2xx and 404 are returned when they are JSON; other statuses go to ``refusal``.

        ``each`` is for the entries of a large 2xx answer, see ``decode``; it should not raise.
        """
        try:
            return await self._request(method, path, params, body, each)
        except SourceError as error:
            # upstreams and proxies like to quote what they were sent
            error.args = (self.redacted(str(error)),)
            raise

    def redacted(self, text: str) -> str:
        """``text`` without the configured credentials, however they are spelled."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    async def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, each: Callable[[Any], Any] | None
    ) -> Answer:
        what = f"{method} {path}"
        self.requests += 1
        try:
            async with self._open().request(
                method, self._base + path, params=params, json=body, allow_redirects=False
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
            decoded = await decode(raw, each if 200 <= status < 300 else None)
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
        said = self.said(answer.body)
        message = f"{what}: {answer.status}" + (f": {said}" if said else "")
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

    def said(self, body: Any) -> str:
        """The sentence in an error body, at most 300 characters; "" when there is none."""
        return body[:300] if isinstance(body, str) else ""


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def bearer(token: SecretStr) -> str:
    """The Authorization header's value for a token."""
    return f"Bearer {token.get_secret_value()}"


def basic(username: str, password: SecretStr) -> str:
    """The same for a user and a password."""
    return "Basic " + base64.b64encode(f"{username}:{password.get_secret_value()}".encode()).decode()


async def _read(response: aiohttp.ClientResponse, what: str) -> bytes:
    """The body, unpacked. Raises SourceMismatch for one that no system of ours would send."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _LARGEST:
            raise SourceMismatch(f"{what}: {response.status} with more than {_LARGEST:,} bytes", status=response.status)
        pieces.append(piece)
    return b"".join(pieces)


def _spellings(settings: SystemSettings, headers: Mapping[str, str]) -> list[str]:
    """The configured secrets as they may come back in a text, the longest first."""
    plain = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    sent = [headers[name].partition(" ")[2] for name in headers if name.lower() == "authorization"]
    found = {text for text in (*plain, *sent) if text}
    found |= {quote(text, safe="") for text in found}
    found |= {base64.b64encode(text.encode()).decode() for text in plain if text}
    return sorted((text for text in found if len(text) >= _SHORTEST_SECRET), key=len, reverse=True)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_scan = json.JSONDecoder(parse_constant=_refuse).raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


async def decode(raw: bytes, each: Callable[[Any], Any] | None = None) -> Any:
    """The value of a JSON text as RFC 8259 has it: NaN and Infinity are refused. Raises ValueError.

    A large text gives the event loop its turns. ``each`` takes every entry of a list within an object as soon as it is
    decoded, and what it returns stands in the entry's place: so the entries of a large answer are never in memory all
    at once, where they would cost a full garbage collection, which holds the event loop longer than the decoding does.
    """
    try:
        return await _Pieces(raw.decode(json.detect_encoding(raw), "surrogatepass"), each).read()
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _Pieces:
    """Reads a JSON text piece by piece, to the same value as ``json.loads``.

    A thread would be no help: the parser is one call that keeps the interpreter to itself. So the outer objects and
    lists are walked here, and the entries of the lists in them, small and many, are left to the parser one by one.
    """

    def __init__(self, text: str, each: Callable[[Any], Any] | None) -> None:
        self._text = text
        self._each = each
        self._at = 0
        self._turn = _STRETCH

    async def read(self) -> Any:
        if len(self._text) <= _STRETCH and self._each is None:
            value = self._piece()
        else:
            value = await self._value(0)
        if self._next():
            raise ValueError("more than one value")
        return value

    def _next(self) -> str:
        """The next character that is no space, which stays unread; "" at the end."""
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _take(self, *expected: str) -> str:
        found = self._next()
        if found not in expected:
            raise ValueError(f"expected {' or '.join(expected)}")
        self._at += 1
        return found

    def _piece(self) -> Any:
        self._next()
        value, self._at = _scan(self._text, self._at)
        return value

    async def _value(self, depth: int) -> Any:
        opening = self._next()
        if opening == "{" and depth < 3:
            return await self._object(depth)
        if opening == "[" and depth < 3:
            return await self._list(depth)
        return self._piece()

    async def _object(self, depth: int) -> dict[str, Any]:
        read: dict[str, Any] = {}
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return read
        while True:
            if self._next() != '"':
                raise ValueError("expected a name")
            name = self._piece()
            self._take(":")
            read[name] = await self._value(depth + 1)
            if self._take(",", "}") == "}":
                return read

    async def _list(self, depth: int) -> list[Any]:
        read: list[Any] = []
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return read
        while True:
            # entries of the outermost list are taken for objects that hold the lists
            read.append(self._entry() if depth else await self._value(1))
            if self._take(",", "]") == "]":
                return read
            if self._at >= self._turn:
                self._turn = self._at + _STRETCH
                await asyncio.sleep(0)

    def _entry(self) -> Any:
        value = self._piece()
        return value if self._each is None else self._each(value)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, at most LONGEST_RETRY_AFTER; None without one, and for what is none.

    RFC 9110 §10.2.3: whole digits, or a date, which counts from the answer's own Date; ``now`` stands in for that.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    until = _moment(value)
    if until is None:
        return None
    sent = _moment(headers.get("Date", "")) or now or datetime.now(UTC)
    return min(max(0.0, (until - sent).total_seconds()), LONGEST_RETRY_AFTER)


def _moment(text: str) -> datetime | None:
    """The moment of an HTTP date; None for any other text."""
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # also a year or a zone that no clock has
        return None


def _said_by_the_system(error: OSError) -> str:
    """asyncio words a refused connection in its own way; the system's way is better known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) or not error.errno or error.errno < 0:
        return error.strerror or "the connection broke off"
    return os.strerror(error.errno)


#: What the HTTP library words in its own way, quoting URLs and answers.
_WORDS: Mapping[type[BaseException], str] = {
    aiohttp.ClientPayloadError: "the answer broke off, or cannot be unpacked",
    aiohttp.ClientResponseError: "the answer is no HTTP that can be read",
    ValueError: "no request can be made of the URL",
}


def reason(error: BaseException) -> str:
    """What went wrong, without URLs that might carry a secret."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {_said_by_the_system(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, OSError):
        return _said_by_the_system(error)
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "the request failed")
