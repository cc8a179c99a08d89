"""What goes over the wire to an Onyx deployment: paths, the bearer token, and error bodies."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from connectory.http.client import Answer, HttpClient
from connectory.http.headers import bearer, retry_after
from connectory.model import SystemErrorCode
from sources.base import SourceAuthFailed, SourceMismatch, SourceUnreachable
from sources.onyx import mapping
from sources.onyx.settings import OnyxSettings

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
            self._tells_stages = "attempt" in self.sentence(answer.body).lower()
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
        sentence = self.sentence(answer.body)
        message = f"{what}: {answer.status}" + (f": {sentence}" if sentence else "")
        about_a_pair = answer.status in (400, 403, 404) and "cc pair not found" in sentence.lower()
        # a 404 without Onyx's own body comes from a proxy, which knows nothing of pairs
        if about_a_pair or (answer.status == 404 and "/cc-pair/" in what and isinstance(answer.body, Mapping)):
            return PairUnknown(message, status=answer.status)
        if answer.status == 402:  # the tenant's plan lapsed: nothing that our configuration could mend
            wait = retry_after(answer.headers)
            return SourceUnreachable(message, code=SystemErrorCode.UPSTREAM_ERROR, status=402, retry_after=wait)
        if answer.status == 401 and re.search(r"credential\b.*(exist|found|belong)", sentence, re.IGNORECASE):
            return SourceMismatch(message, status=401)  # an Onyx credential, not ours (§7)
        return super().refusal(answer, what)

    def sentence(self, body: Any) -> str:
        if not isinstance(body, Mapping):
            return super().sentence(body)
        detail = body.get("detail") if body.get("detail") is not None else body.get("message")
        if detail is not None and not isinstance(detail, str):
            detail = json.dumps(detail)
        code = body.get("error_code")
        words = [word for word in (code, detail) if isinstance(word, str) and word]
        return (mapping.redacted(": ".join(words)) or "")[:300]
