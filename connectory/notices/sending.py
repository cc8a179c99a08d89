"""One attempt to deliver: a POST, and what its outcome means."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

import aiohttp

from connectory.http.headers import retry_after
from connectory.http.reasons import reason
from connectory.notices.payload import signed, slack
from connectory.notices.plan import Delivery
from connectory.notices.settings import ReceiverSettings
from connectory.observability.log import Redaction

#: Refusals that may get better without us: credentials and addresses are mended, conflicts and limits pass.
_MAY_GET_BETTER = frozenset({401, 403, 404, 408, 409, 421, 423, 425, 429})
#: What a proxy says when nobody answers behind it.
_NOBODY = frozenset({502, 503, 504})
#: Characters of a refusal that are kept.
_LONGEST = 200
#: Of a URL's path and query; a piece of so many characters may be a key.
_BETWEEN, _LONG_ENOUGH = re.compile(r"[/?&=;#]"), 8


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """Accepted: no error. Otherwise why not, whether trying again could help, and how long we are asked to wait."""

    error: str | None = None
    is_final: bool = False
    #: seconds
    retry_after: float | None = None


class Sender:
    """Requests to one receiver. A redirect is a refusal, and no proxy of the environment is asked."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._url = settings.url.get_secret_value()
        self._redact = Redaction([_secret(settings), *_parts(self._url)])
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
                # a connection that was kept may have been closed meanwhile, and nobody could tell what came of a POST
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """End its session; another request would open a new one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, delivery: Delivery) -> AttemptOutcome:
        """Post a delivery. The status alone decides: what comes after it changes nothing."""
        body, headers = self._message(delivery)
        return await self._request("POST", lambda status: 200 <= status < 300, data=body, headers=headers)

    async def knock(self) -> AttemptOutcome:
        """Whether somebody answers at all, yes or no, by an OPTIONS request: it delivers nothing."""
        return await self._request("OPTIONS", lambda status: not 300 <= status < 400 and status not in _NOBODY)

    async def _request(self, method: str, is_good: Callable[[int], bool], **more: Any) -> AttemptOutcome:
        try:
            async with self._open().request(method, self._url, allow_redirects=False, **more) as response:
                return AttemptOutcome() if is_good(response.status) else await self._refused(response)
        except TimeoutError:
            return AttemptOutcome(f"No answer within {self._settings.timeout:g} seconds.")
        # ValueError: a host that no name can be, as in http://a..b
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return AttemptOutcome(self.error_text(error))

    def error_text(self, error: BaseException) -> str:
        """A sentence about what went wrong, without the URL and the secret."""
        return self._redact(_sentence(reason(error)))[:_LONGEST]

    def _message(self, delivery: Delivery) -> tuple[bytes, dict[str, str]]:
        headers = {"Content-Type": "application/json", "User-Agent": "connectory"}
        if self._settings.format == "slack":
            return json.dumps(slack(json.loads(delivery.payload))).encode(), headers
        body = delivery.payload.encode()
        return body, headers | signed(body, _secret(self._settings), delivery.id, int(time.time()))

    async def _refused(self, response: aiohttp.ClientResponse) -> AttemptOutcome:
        status = response.status
        if 300 <= status < 400:
            return AttemptOutcome(f"HTTP {status}: it points elsewhere, and redirects are not followed.")
        try:
            text = (await response.content.read(4 * _LONGEST)).decode("utf-8", "replace").strip()
        except (aiohttp.ClientError, TimeoutError, OSError):
            text = ""
        final = 400 <= status < 500 and status not in _MAY_GET_BETTER
        error_text = " ".join(self._redact(text or response.reason or "").split())[:_LONGEST]
        return AttemptOutcome(f"HTTP {status}: {error_text}".rstrip(": "), final, retry_after(response.headers))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _secret(settings: ReceiverSettings) -> str:
    return "" if settings.secret is None else settings.secret.get_secret_value()


def _parts(url: str) -> set[str]:
    """What an error must not tell of the URL: it whole and in pieces, as written and as a server reads it."""
    path = url.split("://", 1)[-1].partition("/")[2]
    pieces = [piece for piece in _BETWEEN.split(path) if len(piece) >= _LONG_ENOUGH]
    return {url, path} | {form for piece in pieces for form in (piece, unquote(piece), unquote_plus(piece))}
