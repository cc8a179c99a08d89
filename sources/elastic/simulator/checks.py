"""What the simulated Elasticsearch checks of a request, and what it reads of it (elastic.md §1, §3, §9)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BasicAuth, web

from sources.elastic.simulator.refusals import (
    beyond_window,
    illegal,
    invalid,
    no_credentials,
    unparsable,
    wrong_content_type,
    wrong_credentials,
    wrong_media_type,
)
from sources.elastic.simulator.world import ElasticWorld

#: Credentials that the simulator accepts; the limited key is valid and may do nothing.
API_KEY = "c2ltdWxhdGVkOmtleQ=="
LIMITED_API_KEY = "bGltaXRlZDprZXk="
USERNAME, PASSWORD = "elastic", "simulated"
TOKEN = "simulated-token"

_WINDOW = 10_000
COMMON_PARAMETERS = frozenset({"pretty", "human", "error_trace", "filter_path"})
_VENDOR = "application/vnd.elasticsearch+json"
_VERSION = re.compile(r"compatible-with\s*=\s*(\d+)")
_SPOKEN = ("8", "9")


@dataclass(frozen=True)
class Call:
    """A request that passed the door: ``body`` is {} where none was sent."""

    world: ElasticWorld
    path: str
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]

    def flag(self, name: str) -> bool:
        value = self.query.get(name, "false")
        if value not in ("true", "false", ""):
            raise illegal(f"Failed to parse value [{value}] as only [true] or [false] are allowed.")
        return value != "false"

    def words(self, name: str) -> frozenset[str]:
        return frozenset(filter(None, self.query.get(name, "").split(",")))

    def window(self, index: str) -> tuple[int, int]:
        """``from`` and ``size``."""
        offset, size = self._number("from", 0), self._number("size", 100)
        if offset + size > _WINDOW:
            raise beyond_window(index, offset + size)
        return offset, size

    def _number(self, name: str, default: int) -> int:
        value = self.query.get(name)
        try:
            number = default if value is None else int(value)
        except ValueError:
            raise illegal(f"Failed to parse int parameter [{name}] with value [{value}]") from None
        if number < 0:
            raise illegal(f"Parameter [{name}] cannot be < 0")
        return number

    def require(self, *names: str) -> None:
        lacking = [name for name in names if self.body.get(name) is None]
        if lacking:
            raise invalid(*(f'[{name}] cannot be [null] or [""]' for name in lacking))


#: What fields of bodies must be, wherever they stand; null is left to the route.
_FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "name", "description", "index_name", "language", "service_type", "status", "error"), str),
    **dict.fromkeys(("job_type", "trigger_method", "worker_hostname", "api_key_id", "api_key_secret_id"), str),
    **dict.fromkeys(("scheduling", "configuration", "values", "pipeline", "features", "validation", "metadata"), dict),
    **dict.fromkeys((f"{kind}_document_count" for kind in ("indexed", "deleted", "total")), int),
    "indexed_document_volume": int,
    "advanced_snippet": dict,
    "rules": list,
    "filtering": list,
    "is_native": bool,
}

Handler = Callable[[Call], tuple[int, Any]]


@dataclass(frozen=True)
class Route:
    """A path with what it takes; ``action`` is how privileges name it, None where any login will do."""

    method: str
    path: str
    handler: Handler
    action: str | None
    parameters: frozenset[str] = frozenset()
    fields: frozenset[str] = field(default=frozenset())


def authenticate(request: web.Request) -> str:
    """``full`` or ``limited``. An API key is not accepted as Bearer (elastic.md §1)."""
    given = request.headers.get("Authorization")
    if given is None:
        raise no_credentials(request.path)
    scheme, _, value = given.partition(" ")
    match scheme.lower():
        case "apikey" if value in (API_KEY, LIMITED_API_KEY):
            return "full" if value == API_KEY else "limited"
        case "apikey":
            raise wrong_credentials("API key: unable to find apikey with id abc")
        case "bearer" if value == TOKEN:
            return "full"
        case "basic" if _pair(given) == (USERNAME, PASSWORD):
            return "full"
    raise wrong_credentials()


def _pair(header: str) -> tuple[str, str] | None:
    try:
        login = BasicAuth.decode(header)
    except ValueError:
        return None
    return login.login, login.password


def media_type(request: web.Request) -> str:
    """What the answer is called: plain JSON, or the vendor's type where it was asked for."""
    spoken = "application/json"
    for header in ("Accept", "Content-Type"):
        asked = request.headers.get(header, "")
        if _VENDOR in asked:
            version = _VERSION.search(asked)
            if version is None or version[1] not in _SPOKEN:
                raise wrong_media_type(header)
            if header == "Accept":
                spoken = f"{_VENDOR};compatible-with={version[1]}"
    return spoken


async def body_of(route: Route, request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    if not raw:
        return {}
    kind = request.headers.get("Content-Type")
    if kind is None or kind.partition(";")[0].strip().lower() not in ("application/json", _VENDOR):
        raise wrong_content_type(kind)
    try:
        sent = json.loads(raw)
    except ValueError:
        raise unparsable("[1:1] malformed JSON") from None
    if not isinstance(sent, dict):
        raise unparsable("[1:1] Expected START_OBJECT")
    for name, value in sent.items():
        if name not in route.fields:
            raise unparsable(f"[1:2] [{route.action}] unknown field [{name}]")
        if value is not None and not isinstance(value, _FIELD_TYPES.get(name, object)):
            raise unparsable(f"[1:2] [{route.action}] failed to parse field [{name}]")
    return sent
