"""What an adapter is: the ``Source`` protocol, its kind, its settings and the five errors.

An adapter is passive: the engine calls it, it asks its upstream, and it answers with facts or raises one of the
errors below. Each error is named for what the caller should do next.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

from connectory.model import Capability, Details, HistoryBatch, JobFindings, Known, Observation, SystemErrorCode
from sources.simulation import Simulator


class SourceError(Exception):
    """Base of what an adapter raises. ``code`` is what ``System.lastError`` shows."""

    code: ClassVar[SystemErrorCode]

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        #: the upstream's HTTP status, where there was an answer
        self.status = status


class SourceUnreachable(SourceError):
    """Back off and try again: no connection, no answer in time, TLS refused, or the upstream fails by itself."""

    code = SystemErrorCode.UNREACHABLE

    def __init__(
        self,
        message: str,
        *,
        code: SystemErrorCode = SystemErrorCode.UNREACHABLE,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status)
        self.code = code  # type: ignore[misc]
        #: seconds that the upstream asked us to wait, by a Retry-After header
        self.retry_after = retry_after


class SourceRateLimited(SourceError):
    """Wait. ``retry_after`` is in seconds; None when the upstream did not say."""

    code = SystemErrorCode.RATE_LIMITED

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = 429) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class SourceAuthFailed(SourceError):
    """Hold until the configuration changes; probe rarely."""

    code = SystemErrorCode.AUTH_FAILED


class SourceMismatch(SourceError):
    """We misread, or the upstream broke its promise: keep the sample, go on with the rest."""

    code = SystemErrorCode.MISMATCH

    def __init__(self, message: str, *, sample: str | None = None, status: int | None = None) -> None:
        super().__init__(message, status=status)
        #: the start of what was received, secrets taken out
        self.sample = sample


class ActionNotSupported(SourceError):
    """The upstream has no such action."""

    code = SystemErrorCode.UPSTREAM_ERROR


class SystemSettings(BaseModel):
    """One ``[[systems]]`` entry. A kind adds its own keys by inheriting. All times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="unique; lower-case letters, digits and hyphens")
    kind: str = Field(description="onyx, elastic, or the kind of a plugged-in source")
    url: HttpUrl = Field(description="where its API answers")
    poll_interval: float | None = Field(None, ge=1, description="seconds between polls; default: [engine]")
    live_interval: float | None = Field(None, ge=0.5, description="seconds between looks at a running job")
    stale_after: float | None = Field(None, gt=0, description="seconds until values count as stale")
    timeout: float = Field(10.0, gt=0, description="seconds for one upstream request")
    verify_tls: bool = Field(True, description="false accepts any certificate")

    @field_validator("url")
    @classmethod
    def _without_credentials(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password:
            raise ValueError("credentials do not belong in the URL; use the kind's own keys")
        return url

    @property
    def base_url(self) -> str:
        """The URL without a trailing slash."""
        return str(self.url).rstrip("/")


class Source(Protocol):
    """One configured system, as the engine sees it. Raises only ``SourceError``.

    Adapters inherit from it, and so get an answer to what their upstream cannot tell.
    """

    async def poll(self, known: Known) -> Observation:
        """The present list of connectors, and the jobs that are new, open or changed since ``known``."""

    def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        """Every job that the upstream still serves of these connectors, newest first, in batches."""

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        """The live lane: the present state of these open jobs, by the cheapest requests that tell it.

        Never the whole list: the answer is not ``complete``, and what it lacks has not been looked at.
        """
        return Observation(connectors=[], complete=False)

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        """A closer look at jobs of one connector that have just ended or are being watched: which documents failed,
        how long each stage took. Jobs without an entry have been looked at in vain and are not asked for again."""
        return {}

    async def close(self) -> None:
        """Give the connections back."""


@dataclass(frozen=True)
class SourceKind:
    """What the registry holds: everything the program needs to know of one kind of system."""

    name: str
    settings: type[SystemSettings]
    open: Callable[[Any], Source]
    capabilities: frozenset[Capability]
    #: ConnectorFact fields that the engine fills from the connector's jobs, because the upstream does not tell them
    rolls_up: frozenset[str] = field(default_factory=frozenset)
    #: whether ``examine`` may find something
    examines: bool = False
    #: what runs one job at a time, so that a pending one waits behind another: a connector, or nothing that is known
    one_job_at_a_time: Literal["connector", "none"] = "none"
    #: whether its connectors tell when their worker was last alive, so that silence means something
    tells_workers: bool = False
    simulator: Simulator | None = None
    #: the configuration keys (url, credentials) that open its simulator, given where that one is served
    simulator_settings: Callable[[str], dict[str, Any]] | None = None


#: ConnectorFact fields that can be rolled up from jobs.
ROLLED_UP = frozenset(
    {
        "docs_indexed",
        "latest_job_docs_indexed",
        "last_job_status",
        "last_finished_job_status",
        "in_progress",
        "last_success_at",
        "last_sync_at",
    }
)


# ---- tolerant readers of JSON values, shared by all mappings


def text(value: object) -> str | None:
    """A string that both stores can hold and everybody may see: no NUL, no lone surrogate, no secret within.

    None and "" stay what they are.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise SourceMismatch(f"expected text, got {type(value).__name__}: {str(value)[:80]!r}")
    return discreet(value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode())


def count(value: object) -> int | None:
    """A counter: a whole number from 0 to 2^63-1, or None. Raises SourceMismatch for anything else, never clamps."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise SourceMismatch(f"expected a counter of 64 bits, got {str(value)[:80]!r}")
    return value


def flag(value: object) -> bool | None:
    """True, False or None."""
    if value is None or isinstance(value, bool):
        return value
    raise SourceMismatch(f"expected true or false, got {str(value)[:80]!r}")


_FRACTION = re.compile(r"(\.\d{6})\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(value: object) -> datetime | None:
    """A moment in UTC from what upstreams send: ISO 8601 with ``Z``, an offset, ``+0000``, nine fractional digits or
    no zone at all (then UTC), or epoch milliseconds as a number (elastic.md §8, lucidworks.md §6)."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
        if isinstance(value, str):
            moment = datetime.fromisoformat(_FRACTION.sub(r"\1", value))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise SourceMismatch(f"expected a time, got {str(value)[:80]!r}")


def slug(value: str | None) -> str:
    """A source's name as ``[a-z0-9_]``; ``unknown`` when there is none."""
    return re.sub(r"[^a-z0-9]+", "_", (value or "").lower()).strip("_") or "unknown"


def details(type_name: str, values: Mapping[str, Any]) -> Details:
    """``values`` as compact JSON text with sorted keys, so that equal values are equal text. Times become ISO text."""
    return Details(type_name, _ENCODER.encode(values))


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_encode)


def extra(sent: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    """The keys that this program does not know, without values that look like secrets and with a note in the place of
    each one that is too large, see ``bounded``; None when there are none."""
    unknown = {key: without_secrets(bounded(value), key) for key, value in sent.items() if key not in known}
    return unknown or None


#: Characters of the JSON text of an unknown value, at most.
LARGEST_UNKNOWN = 1 << 16


def bounded(value: Any) -> Any:
    """An unknown JSON value, or a note in its place when its JSON text is longer than ``LARGEST_UNKNOWN``.

    Nobody promises how large such a value is, and everything that is shown is searched, held in memory and stored.
    A character counts as one even where JSON escapes it.
    """
    if isinstance(value, str):
        fits, size = len(value) + 2 <= LARGEST_UNKNOWN, f"{len(value):,}"
    elif isinstance(value, list | Mapping):
        # how much more there is would take a walk through all of it
        fits, size = _fits(value, LARGEST_UNKNOWN), f"more than {LARGEST_UNKNOWN:,}"
    else:
        return value
    return value if fits else f"[left out: {size} characters]"


def _fits(value: Any, room: int) -> bool:
    """Whether the compact JSON text of ``value`` has at most ``room`` characters; looks no further than these."""
    waiting = [value]
    while waiting and room >= 0:
        one = waiting.pop()
        if isinstance(one, str):
            room -= len(one) + 2
        elif isinstance(one, list | Mapping):
            values = one.values() if isinstance(one, Mapping) else ()
            # brackets, commas and colons
            room -= 1 + (len(one) + len(values) or 1)
            if room >= 0:
                waiting += [*one, *values]
        else:
            room -= len(str(one))
    return room >= 0


#: Names of keys whose values are secrets wherever they stand.
SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)s?$|(^|[-_. ])pass$|secret|token|api[-_. ]?keys?$|private[-_. ]?key|credential|authorization|"
    r"connection[-_. ]?string|^pwd$|(access|account|shared)[-_. ]?key|^(set-)?cookies?$|signature$",
    re.IGNORECASE,
)
#: Secrets within a text: what stands before the @ of a URL, and what is assigned to a secret-looking name.
_SECRET_IN_URL = re.compile(r"(?<=://)[^/?#\s@:]*:[^/?#\s]*(?=@)")
_SECRET_ASSIGNED = re.compile(
    # what stands before that word in the name does not matter: to look for it would make the search quadratic
    r"(?i)((?:password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key)=)[^\s&;,'\"]+"
)
REDACTED = "[redacted]"
_PLAIN = (int, float, type(None))


@lru_cache(maxsize=4096)
def _names_a_secret(key: str) -> bool:
    """Keys are few and come again and again."""
    return SECRET_KEY.search(key) is not None


def discreet(text: str) -> str:
    """``text`` without the secrets that people and programs write into URLs and connection strings."""
    if "://" in text and "@" in text:
        text = _SECRET_IN_URL.sub(REDACTED, text)
    if "=" in text:
        text = _SECRET_ASSIGNED.sub(rf"\1{REDACTED}", text)
    return text


def without_secrets(value: Any, key: str = "") -> Any:
    """A copy of a JSON value in which whatever stands under a secret-looking key is replaced."""
    if key and _names_a_secret(key) and value not in (None, "", [], {}) and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict | Mapping):
        return {k: without_secrets(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None
