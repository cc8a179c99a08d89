"""What goes over the wire to an Onyx deployment: paths, the bearer token, error bodies, and entries read one by one."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from connectory.http.client import Answer, HttpClient
from connectory.http.headers import bearer, retry_after
from connectory.model import ConnectorFact, JobFact, Problem, SystemErrorCode
from sources.base import SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.onyx import mapping
from sources.onyx.settings import OnyxSettings
from sources.reading import by_turns

LIST = "/manage/admin/connector/indexing-status"
#: Errors on a page; the server allows no more.
ERRORS_PAGE = 100

_ABOUT_CREDENTIALS = re.compile(r"not authenticated|session|token", re.IGNORECASE)


class PairUnknown(SourceMismatch):
    """The cc-pair is not there for us: deleted between the list and its attempts, or hidden (onyx.md §7)."""


class OnyxClient(HttpClient):
    """Requests with a bearer token; reads all four shapes of error bodies (onyx.md §7)."""

    def __init__(self, settings: OnyxSettings) -> None:
        super().__init__(settings, headers={"Authorization": bearer(settings.token)})
        self._without_api = "/api" not in (urlsplit(settings.base_url).path or "")
        #: whether the server tells the stages of an attempt, as far as we know
        self._tells_stages = True

    async def connectors(self, *, secondary_index: bool) -> list[Any]:
        """All groups of the list, undivided. Raises SourceMismatch when the answer is no list."""
        try:
            groups = await self.post(LIST, {"get_all_connectors": True, "secondary_index": secondary_index})
        except SourceMismatch as error:
            # a deployment behind its own nginx answers such paths with the web application
            if self._without_api and error.status is not None and error.status not in (400, 409, 422):
                hint = f"{error}. Many deployments answer under /api: try a url that ends in /api"
                raise SourceMismatch(hint, status=error.status) from None
            raise
        if not isinstance(groups, list):
            raise SourceMismatch(f"POST {LIST}: expected a list of groups, got {type(groups).__name__}")
        return groups

    async def attempts(self, pair: str, page: int, size: int) -> tuple[list[Any], int | None]:
        """One page (0-based) of a pair's attempts, and how many there are in all."""
        return await self._page(f"/manage/admin/cc-pair/{pair}/index-attempts", page_num=page, page_size=size)

    async def errors(self, pair: str, page: int) -> list[Any]:
        """One page (0-based) of a pair's errors, newest first, resolved ones included."""
        path = f"/manage/admin/cc-pair/{pair}/errors"
        items, _ = await self._page(path, include_resolved="true", page_num=page, page_size=ERRORS_PAGE)
        return items

    async def stages(self, attempt: int) -> list[Any] | None:
        """What an attempt spent its time on; None when that is not to be had.

        Servers before v3.3 have no such route, and credentials may not be enough for it: neither is asked again.
        """
        if not self._tells_stages:
            return None
        path = f"/manage/admin/index-attempt/{attempt}/stage-metrics"
        try:
            answer = await self.request("GET", path)
        except PairUnknown:
            return None
        except (SourceAuthFailed, SourceMismatch) as error:
            if error.status not in (400, 403) or _ABOUT_CREDENTIALS.search(str(error)):
                raise
            self._tells_stages = False
            return None
        if answer.status == 404:
            # a server without the route does not speak of an attempt; one that has it no longer has this attempt
            self._tells_stages = "attempt" in self.said(answer.body).lower()
            return None
        stages = answer.body.get("stages") if isinstance(answer.body, Mapping) else None
        return stages if isinstance(stages, list) else None

    async def _page(self, path: str, **query: int | str) -> tuple[list[Any], int | None]:
        body = await self.get(path, query)
        items = body.get("items") if isinstance(body, Mapping) else None
        if not isinstance(items, list):
            raise SourceMismatch(f"GET {path}: expected a page of items")
        total = body["total_items"] if isinstance(body.get("total_items"), int) else None
        return items, total

    def refusal(self, answer: Answer, what: str) -> Exception:
        said = self.said(answer.body)
        message = f"{what}: {answer.status}" + (f": {said}" if said else "")
        about_a_pair = answer.status in (400, 403, 404) and "cc pair not found" in said.lower()
        # a 404 without Onyx's own body comes from a proxy, which knows nothing of pairs
        if about_a_pair or (answer.status == 404 and "/cc-pair/" in what and isinstance(answer.body, Mapping)):
            return PairUnknown(message, status=answer.status)
        if answer.status == 402:  # the tenant's plan lapsed: nothing that our configuration could mend
            wait = retry_after(answer.headers)
            return SourceUnreachable(message, code=SystemErrorCode.UPSTREAM_ERROR, status=402, retry_after=wait)
        if answer.status == 401 and re.search(r"credential\b.*(exist|found|belong)", said, re.IGNORECASE):
            return SourceMismatch(message, status=401)  # an Onyx credential, not ours (§7)
        return super().refusal(answer, what)

    def said(self, body: Any) -> str:
        if not isinstance(body, Mapping):
            return super().said(body)
        detail = body.get("detail") if body.get("detail") is not None else body.get("message")
        if detail is not None and not isinstance(detail, str):
            detail = json.dumps(detail)
        code = body.get("error_code")
        words = [word for word in (code, detail) if isinstance(word, str) and word]
        return (mapping.redacted(": ".join(words)) or "")[:300]


async def read_list(groups: list[Any]) -> tuple[dict[str, ConnectorFact], list[Problem]]:
    """All readable entries by external id, and a problem for each unreadable one.

    Up to v4.6 a curator sees a pair twice; the editable row is kept (onyx.md §8.8).
    """
    facts: dict[str, ConnectorFact] = {}
    problems: list[Problem] = []
    for group in groups:
        entries = group.get("indexing_statuses") if isinstance(group, Mapping) else None
        if not isinstance(entries, list):
            problems.append(Problem(SystemErrorCode.MISMATCH, "a group of the list has no indexing_statuses"))
            continue
        source = group["source"] if isinstance(group.get("source"), str) else None
        async for entry in by_turns(entries):
            try:
                fact = mapping.connector(entry, group_source=source)
            except SourceMismatch as error:
                problems.append(error.problem(f"{_name(entry)} in the list"))
                continue
            if fact.external_id not in facts or (fact.is_editable and not facts[fact.external_id].is_editable):
                facts[fact.external_id] = fact
    return facts, problems


def _name(entry: Any) -> str:
    if isinstance(entry, Mapping) and isinstance(entry.get("cc_pair_id"), int):
        return f"cc-pair {entry['cc_pair_id']}"
    return "an entry"


def read_attempts(items: list[Any], pair: str) -> tuple[list[JobFact], list[Problem]]:
    """The readable attempts of a page, newest first, and a problem for each unreadable one."""
    jobs: list[JobFact] = []
    problems: list[Problem] = []
    for item in items:
        try:
            jobs.append(mapping.job(item, pair))
        except SourceMismatch as error:
            number = item.get("id") if isinstance(item, Mapping) else None
            problems.append(error.problem(f"index attempt {number} of cc-pair {pair}"))
    return sorted(jobs, key=lambda job: job.sequence or 0, reverse=True), problems
