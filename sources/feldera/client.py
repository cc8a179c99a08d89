"""What goes over the wire to a Feldera: paths, the bearer token, and error bodies, read by their ``error_code``."""

from collections.abc import Mapping
from typing import Any

from connectory.http.client import Answer, HttpClient, segment
from connectory.http.headers import bearer
from connectory.model import SystemErrorCode
from sources.base import ActionNotSupported, SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.feldera.redaction import redacted
from sources.feldera.settings import FelderaSettings

#: error_code of an answer that the pipeline's state explains → that state; None where the answer names it itself
NOT_SERVED: Mapping[str, str | None] = {
    "PipelineInteractionNotDeployed": None,
    "Initializing": "Initializing",
    "AwaitingApproval": "AwaitingApproval",
    "Suspended": "Suspended",
    "Terminating": "Stopping",
    "PipelineUnavailable": "Unavailable",
}
_NO_SUCH_ACTION = frozenset({"EnterpriseFeature", "UnsupportedPipelineAction", "InvalidConnectorAction"})


class PipelineUnknown(SourceMismatch):
    """There is no pipeline of this name (any more)."""


class EndpointUnknown(SourceMismatch):
    """The pipeline runs and has no such connector (any more)."""


class NotServed(SourceUnreachable):
    """The pipeline has no process that could tell: the normal answer of one that does not run (feldera.md §12.6)."""

    def __init__(self, message: str, *, status: int, word: str | None) -> None:
        super().__init__(message, code=SystemErrorCode.UPSTREAM_ERROR, status=status)
        #: the pipeline's status as far as the answer tells it
        self.word = word


class FelderaClient(HttpClient):
    """Requests below ``/v0``, with the token when there is one."""

    def __init__(self, settings: FelderaSettings) -> None:
        super().__init__(settings, headers={"Authorization": bearer(settings.token)} if settings.token else None)
        self._base = f"{self._base.removesuffix('/v0')}/v0"

    async def pipelines(self) -> list[Any]:
        """All pipelines, without their programs (feldera.md §12.7). Raises SourceMismatch when it is no list."""
        entries = await self.get("/pipelines", {"selector": "status"})
        if not isinstance(entries, list):
            raise SourceMismatch(f"GET /pipelines: expected a list, got {type(entries).__name__}")
        return entries

    async def pipeline(self, name: str, selector: str = "status") -> Mapping[str, Any]:
        """One pipeline; with the selector ``all`` also its program and configured connectors."""
        return await self._object(_path(name), {"selector": selector})

    async def stats(self, name: str) -> Mapping[str, Any]:
        """Counters of all endpoints; servers since 2026-04-29 add the error texts, older ones ignore the wish."""
        return await self._object(f"{_path(name)}/stats", {"include_connector_errors": "true"})

    async def endpoint(self, name: str, relation: str, connector: str, *, is_input: bool) -> Mapping[str, Any]:
        """One endpoint with its error texts. The relation is quoted, so that SQL takes it exactly (feldera.md §2)."""
        kind = "tables" if is_input else "views"
        relation = segment(f'"{relation}"')
        return await self._object(f"{_path(name)}/{kind}/{relation}/connectors/{segment(connector)}/stats")

    async def _object(self, path: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        body = await self.get(path, params)
        if not isinstance(body, Mapping):
            raise SourceMismatch(f"GET {path}: expected an object, got {type(body).__name__}")
        return body

    def refusal(self, answer: Answer, what: str) -> Exception:
        code = answer.body.get("error_code") if isinstance(answer.body, Mapping) else None
        sentence = self.sentence(answer.body)
        message = f"{what}: {answer.status}" + (f": {sentence}" if sentence else "")
        if answer.status == 401 and not sentence and (challenge := answer.headers.get("WWW-Authenticate")):
            return SourceAuthFailed(f"{message}: {redacted(challenge[:200])}", status=401)
        if code == "UnknownPipelineName":
            return PipelineUnknown(message, status=answer.status)
        if code in ("UnknownInputEndpoint", "UnknownOutputEndpoint"):
            return EndpointUnknown(message, status=answer.status)
        if isinstance(code, str) and code in NOT_SERVED and answer.status in (410, 503):
            return NotServed(message, status=answer.status, word=NOT_SERVED[code] or _told_status(answer.body))
        if code in _NO_SUCH_ACTION:
            return ActionNotSupported(message, status=answer.status)
        if answer.status == 408:
            return SourceUnreachable(message, code=SystemErrorCode.TIMEOUT, status=408)
        return super().refusal(answer, what)

    def sentence(self, body: Any) -> str:
        if not isinstance(body, Mapping):
            return (redacted(super().sentence(body)) or "")[:300]
        words = [body[key] for key in ("error_code", "message") if isinstance(body.get(key), str)]
        return (redacted(": ".join(words)) or "")[:300]


def _told_status(body: Mapping[str, Any]) -> str | None:
    """``details.status`` of a NotDeployed answer."""
    details = body.get("details")
    status = details.get("status") if isinstance(details, Mapping) else None
    return status if isinstance(status, str) else None


def _path(name: str) -> str:
    return f"/pipelines/{segment(name)}"
