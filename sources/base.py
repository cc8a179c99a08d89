"""What an adapter is: the ``Source`` protocol, its kind, its settings and the five errors.

An adapter is passive: the engine calls it, it asks its upstream, and it answers with facts or raises one of the
errors below. Each error is named for what the caller should do next.
"""

import pkgutil
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator

from connectory.http.errors import (
    ActionNotSupported,
    SourceAuthFailed,
    SourceError,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
)
from connectory.model import Capability, HistoryBatch, JobFindings, Known, Observation

if TYPE_CHECKING:
    from sources.simulation import Simulator

#: All that a plug-in needs of the port, the errors included.
__all__ = [
    "ROLLED_UP",
    "ActionNotSupported",
    "Source",
    "SourceAuthFailed",
    "SourceError",
    "SourceKind",
    "SourceMismatch",
    "SourceRateLimited",
    "SourceUnreachable",
    "SystemSettings",
    "Token",
    "belong_together",
    "by_connector",
    "deferred",
]


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


def _bare(token: SecretStr) -> SecretStr:
    bare = re.sub(r"^Bearer(\s+|$)", "", token.get_secret_value().strip())
    if not bare or not bare.isascii() or not bare.isprintable():
        raise ValueError("a token is printable ASCII text")
    return SecretStr(bare)


#: A secret that a header carries: without spaces around it and the word Bearer, which are often copied along.
Token = Annotated[SecretStr, AfterValidator(_bare)]


def belong_together(username: str | None, password: SecretStr | None) -> None:
    """Raises ValueError where one of the two is given without the other."""
    if (username is None) != (password is None):
        raise ValueError("username and password belong together; one of them is missing")


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
    simulator: "Simulator | None" = None
    #: the configuration keys (url, credentials) that open its simulator, given where that one is served
    simulator_settings: Callable[[str], dict[str, Any]] | None = None


def deferred(place: str) -> Callable[..., Any]:
    """What can be called at ``module:name``, imported when it is called first: a kind may so be declared, and its
    settings checked, without loading its adapter, its simulator and all that these need."""

    def call(*arguments: Any, **named: Any) -> Any:
        return pkgutil.resolve_name(place)(*arguments, **named)

    return call


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


def by_connector(known: Known, jobs: Iterable[str]) -> dict[str, set[str]]:
    """Those of ``jobs`` that are known to be open, by their connector; without those that have none."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        if (connector := known.open_jobs.get(job)) is not None:
            found.setdefault(connector, set()).add(job)
    return found
