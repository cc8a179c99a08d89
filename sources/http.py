"""How adapters talk to an upstream: one aiohttp ``ClientSession`` per system.

Every failure leaves here as one of the errors of ``sources.base``; no secret leaves in a message.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import aiohttp

from connectory.model import SystemErrorCode
from sources.base import (
    SourceAuthFailed,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
    SystemSettings,
    without_secrets,
)

#: Answers larger than this are decoded in a thread, so that the event loop is held less.
_DECODE_IN_THREAD = 1 << 20
#: Connections at once to one system.
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream's answer: status, headers, and its body decoded from JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


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
            raise self.refusal(answer, f"{method} {path}")
        return answer.body

    async def request(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Answer:
        """One request. Answers of 2xx and 404 are returned when they are JSON; other statuses go to ``refusal``."""
        what = f"{method} {path}"
        self.requests += 1
        try:
            async with self._open().request(
                method, self._base + path, params=params, json=body, allow_redirects=False
            ) as response:
                raw = await response.read()
                status, headers = response.status, response.headers
        except TimeoutError:
            raise SourceUnreachable(
                f"{what}: no complete answer within {self._timeout:g} s", code=SystemErrorCode.TIMEOUT
            ) from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise SourceUnreachable(f"{what}: TLS refused: {_reason(error)}", code=SystemErrorCode.TLS) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceUnreachable(f"{what}: {_reason(error)}") from None
        try:
            decoded = await _decode(raw)
        except ValueError:
            if 200 <= status < 300:
                kind = headers.get("Content-Type", "no content type")
                raise SourceMismatch(
                    f"{what}: {status} with a body that is not JSON ({kind}, {len(raw)} bytes)",
                    sample=raw[:200].decode("utf-8", "replace"),
                    status=status,
                ) from None
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
        return SourceMismatch(message, status=answer.status, sample=json.dumps(without_secrets(answer.body))[:200])

    def said(self, body: Any) -> str:
        """The sentence in an error body, at most 300 characters; "" when there is none."""
        return body[:300] if isinstance(body, str) else ""


async def _decode(raw: bytes) -> Any:
    if len(raw) > _DECODE_IN_THREAD:
        return await asyncio.to_thread(_loads, raw)
    return _loads(raw)


def _loads(raw: bytes) -> Any:
    """JSON as RFC 8259 has it: NaN and Infinity are refused. Raises ValueError."""
    try:
        return json.loads(raw, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3: seconds or a date); None without one."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def _reason(error: BaseException) -> str:
    """What went wrong, without URLs that might carry a secret."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} does not resolve"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    return str(error)[:300] or type(error).__name__
