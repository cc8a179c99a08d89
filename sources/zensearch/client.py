"""What goes over the wire to a ZenSearch deployment: dialects, signatures, envelopes, error bodies and rate headers.

The upstream's documentation exists in three generations that contradict each other (zensearch.md §1), so paths and
headers are a table, and envelopes are read leniently.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from connectory.http.client import Answer, HttpClient, Request, segment
from sources.base import SourceMismatch, SourceRateLimited
from sources.zensearch.settings import ZenSearchSettings

#: A reset further away than this many seconds is no reset (zensearch.md §9 knows limits per minute and per day).
LONGEST_WAIT = 86_400.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the connectors live, and the header that carries the token after ``scheme``."""

    prefix: str
    header: str
    scheme: str = ""


DIALECTS: Mapping[str, Dialect] = {
    "v1-bearer": Dialect("/v1", "Authorization", "Bearer "),
    "api-v1-bearer": Dialect("/api/v1", "Authorization", "Bearer "),
    "api-v1-key": Dialect("/api/v1", "X-ZenSearch-Key"),
}


class JobUnknown(SourceMismatch):
    """The upstream does not serve this job, or not under this connector."""


class Budget:
    """What the rate headers of the last answers leave (zensearch.md §9). ``clock`` tells seconds, as monotonic does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent_until = 0.0

    @property
    def wait(self) -> float:
        """Seconds until a request is welcome again; 0 when it is now."""
        return max(0.0, self._spent_until - self._clock())

    def note(self, headers: Mapping[str, str]) -> None:
        """Remember a window that has no request left. Answers may come out of order, so nothing is taken back."""
        remaining, seconds = _whole(headers.get("X-RateLimit-Remaining")), seconds_to_reset(headers)
        if remaining is not None and remaining <= 0 and seconds is not None:
            self._spent_until = max(self._spent_until, self._clock() + seconds)


def seconds_to_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until X-RateLimit-Reset, a Unix time, by the clock of the server that sent it; None when there is no
    such time, or none that could be meant."""
    reset = _whole(headers.get("X-RateLimit-Reset"))
    if reset is None:
        return None
    seconds = reset - _server_time(headers)
    return seconds if 0 < seconds <= LONGEST_WAIT else None


def _server_time(headers: Mapping[str, str]) -> float:
    try:
        moment = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return time.time()
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _whole(value: str | None) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError:
        return None


def signature(secret: str, body: bytes, milliseconds: int) -> dict[str, str]:
    """The headers that sign ``body`` (zensearch.md §8). Of requests without a body the pages say nothing; here they
    sign an empty one."""
    signed = hmac.new(secret.encode(), f"{milliseconds}.".encode() + body, hashlib.sha256)
    return {"X-ZenSearch-Timestamp": str(milliseconds), "X-ZenSearch-Signature": signed.hexdigest()}


class ZenSearchClient(HttpClient):
    """Requests in one dialect.

    Once an answer said that no request is left, none is sent before the reset: SourceRateLimited, at no cost.
    """

    def __init__(self, settings: ZenSearchSettings, *, budget: Budget | None = None) -> None:
        dialect = DIALECTS[settings.dialect]
        token = settings.token.get_secret_value()
        super().__init__(settings, headers={dialect.header: dialect.scheme + token})
        self._prefix, self._dialect = dialect.prefix, settings.dialect
        self._secret = token if settings.sign_requests else None
        self.budget = budget or Budget()

    async def connectors(self) -> list[Any]:
        """All entries of the list. Raises SourceMismatch when the answer is no list."""
        path = f"{self._prefix}/connectors"
        entries = unwrapped(await self.get(path))
        if not isinstance(entries, list):
            raise SourceMismatch(f"GET {path}: expected a list of connectors")
        return entries

    async def job(self, connector: str, job: str) -> Any:
        """The status of one sync job, unwrapped. Raises JobUnknown for a 404 of the API's own."""
        path = f"{self._prefix}/connectors/{segment(connector)}/sync/{segment(job)}"
        answer = await self.request("GET", path)
        if answer.status == 404 and isinstance(answer.body, Mapping):
            raise JobUnknown(f"GET {path}: 404: {self.sentence(answer.body)}", status=404)
        if answer.status == 404:
            raise self.refusal(answer, f"GET {path}")
        return unwrapped(answer.body)

    async def send(self, request: Request) -> Answer:
        if wait := self.budget.wait:
            raise SourceRateLimited(
                f"{request}: not sent, no request is left for {wait:.0f} s", retry_after=wait, status=None
            )
        if self._secret is not None:
            sent = b"" if request.body is None else json.dumps(request.body).encode()
            # aiohttp copies the session's headers before it first waits, so no other request's signature gets between
            self._open().headers.update(signature(self._secret, sent, time.time_ns() // 1_000_000))
        answer = await super().send(request)
        self.budget.note(answer.headers)
        return answer

    def refusal(self, answer: Answer, what: str) -> Exception:
        self.budget.note(answer.headers)
        error = super().refusal(answer, what)
        if isinstance(error, SourceRateLimited) and error.retry_after is None:
            error.retry_after = _asked_wait(answer)
        if answer.status in (404, 405) and what == f"GET {self._prefix}/connectors":
            others = " or ".join(name for name in DIALECTS if name != self._dialect)
            return SourceMismatch(f"{error}. Perhaps it speaks the dialect {others}", status=answer.status)
        return error

    def sentence(self, body: Any) -> str:
        """Code, message and request id of ``{error: {code, message}, meta: {requestId}}`` (zensearch.md §9)."""
        if not isinstance(body, Mapping):
            return super().sentence(body)
        error, meta = body.get("error"), body.get("meta")
        fields = error if isinstance(error, Mapping) else {"message": error or body.get("message")}
        words = [word for key in ("code", "message") if isinstance(word := fields.get(key), str) and word]
        request = meta.get("requestId") if isinstance(meta, Mapping) else None
        return ": ".join(words)[:300] + (f" (request {request[:60]})" if isinstance(request, str) and request else "")


def _asked_wait(answer: Answer) -> float | None:
    """Seconds that a 429 without Retry-After asks for: ``error.retryAfter``, else the reset."""
    error = answer.body.get("error") if isinstance(answer.body, Mapping) else None
    seconds = error.get("retryAfter") if isinstance(error, Mapping) else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST_WAIT:
        return float(seconds)
    return seconds_to_reset(answer.headers)


def unwrapped(body: Any) -> Any:
    """What stands under ``data``; the body itself where a deployment sends none (zensearch.md §9)."""
    return body["data"] if isinstance(body, Mapping) and "data" in body else body
