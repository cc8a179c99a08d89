"""How Elasticsearch is asked: credentials, lists, errors (elastic.md §1, §3, §9)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from connectory.http.client import Answer, HttpClient, segment
from connectory.http.headers import basic, bearer
from sources.base import SourceMismatch
from sources.elastic.settings import ElasticSettings
from sources.reading import text

#: ``from`` + ``size`` may not exceed it, and ``count`` never tells more (elastic.md §3).
RESULT_WINDOW = 10_000

_NOT_ELASTICSEARCH = "the answer does not come from Elasticsearch (no X-Elastic-Product header); check the url"
_PRODUCT_HEADER = "X-Elastic-Product"

_Entry = TypeVar("_Entry")


class JobUnknown(SourceMismatch):
    """There is no job of this id (any more)."""


@dataclass(frozen=True, slots=True)
class Page(Generic[_Entry]):
    """A part of a list; ``count`` is the number of all matches, 10,000 at most."""

    count: int
    results: list[_Entry]


class ElasticClient(HttpClient):
    """Requests to one Elasticsearch, in plain JSON. Raises what HttpClient raises."""

    def __init__(self, settings: ElasticSettings) -> None:
        super().__init__(settings, headers={"Authorization": authorization(settings)})

    async def page(
        self, path: str, offset: int, size: int, read: Callable[[Any], _Entry], **filters: str
    ) -> Page[_Entry]:
        """``size`` entries of a list from ``offset`` on, clipped to the result window, each as ``read`` makes it."""
        size = max(0, min(size, RESULT_WINDOW - offset))
        params = {"from": str(offset), "size": str(size), **filters}
        answer = await self.request("GET", path, params=params, each=read)
        if answer.status != 200:
            raise self.refusal(answer, f"GET {path}")
        body = answer.body
        if isinstance(body, Mapping):
            total, results = body.get("count"), body.get("results")
            if isinstance(total, int) and not isinstance(total, bool) and total >= 0 and isinstance(results, list):
                return Page(total, results)
        message = f"GET {path}: expected {{count, results}}, got {_shape(body)}"
        if _PRODUCT_HEADER not in answer.headers:
            message += f"; {_NOT_ELASTICSEARCH}"
        raise SourceMismatch(message, status=answer.status)

    async def connectors(self, offset: int, size: int, take: Callable[[Any], None], **filters: str) -> Page[None]:
        """A part of the list of connectors, whose entries go to ``take``."""
        return await self.page("/_connector", offset, size, take, **filters)

    async def jobs(self, offset: int, size: int, read: Callable[[Any], _Entry], **filters: str) -> Page[_Entry]:
        """A part of the list of jobs, each as ``read`` makes it."""
        return await self.page("/_connector/_sync_job", offset, size, read, **filters)

    async def job(self, identity: str) -> Any:
        """One job as it was sent. Raises JobUnknown when Elasticsearch itself says there is none (elastic.md §9)."""
        path = f"/_connector/_sync_job/{segment(identity)}"
        answer = await self.request("GET", path)
        if answer.status == 200:
            return answer.body
        if answer.status == 404 and error_type(answer.body) == "resource_not_found_exception":
            raise JobUnknown(f"GET {path}: 404: {self.sentence(answer.body)}", status=404)
        raise self.refusal(answer, f"GET {path}")

    def sentence(self, body: Any) -> str:
        """The sentence of an error body: its innermost reason, for an ``error`` that is an object or a string."""
        error = body.get("error", body.get("message")) if isinstance(body, Mapping) else body
        if isinstance(error, str):
            return (text(error) or "")[:300]
        if not isinstance(error, Mapping):
            return ""
        causes = error.get("root_cause")
        cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else error
        kind, reason = cause.get("type"), cause.get("reason")
        return ": ".join(text(word) or "" for word in (kind, reason) if isinstance(word, str))[:300]

    def refusal(self, answer: Answer, what: str) -> Exception:
        error = super().refusal(answer, what)
        hint = _hint(answer)
        if hint and isinstance(error, SourceMismatch):
            return SourceMismatch(f"{error}; {hint}", status=error.status)
        return error


def authorization(settings: ElasticSettings) -> str:
    """The Authorization header's value; the word for an API key is ApiKey, not Bearer (elastic.md §1)."""
    if settings.api_key is not None:
        return f"ApiKey {settings.api_key.get_secret_value()}"
    if settings.token is not None:
        return bearer(settings.token)
    assert settings.username is not None
    assert settings.password is not None
    return basic(settings.username, settings.password)


def error_type(body: Any) -> str | None:
    """The ``error.type`` of an error body; None where it has none."""
    error = body.get("error") if isinstance(body, Mapping) else None
    kind = error.get("type") if isinstance(error, Mapping) else None
    return kind if isinstance(kind, str) else None


def _hint(answer: Answer) -> str:
    """What may lie behind a refusal that the upstream's own words do not explain."""
    error = answer.body.get("error") if isinstance(answer.body, Mapping) else None
    if isinstance(error, str) and error.startswith("no handler found"):
        return "this Elasticsearch has no connector API there; it needs 8.12 or newer, and a url without a path"
    if error_type(answer.body) == "media_type_header_exception":
        return "this Elasticsearch does not speak the media type or API version that was asked for"
    if _PRODUCT_HEADER not in answer.headers:
        return _NOT_ELASTICSEARCH
    return ""


def _shape(body: Any) -> str:
    if isinstance(body, Mapping):
        return f"an object with {', '.join(sorted(map(str, body))[:8]) or 'no keys'}"[:200]
    return type(body).__name__
