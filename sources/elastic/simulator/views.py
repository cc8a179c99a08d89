"""How the simulated Elasticsearch writes its answers (elastic.md §1, §3, §9)."""

import json
from typing import Any

from aiohttp import web

from sources.elastic.simulator.checks import media_type
from sources.elastic.simulator.refusals import Refusal

_PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
#: What it says of itself.
CLUSTER = {
    "name": "node-1",
    "cluster_name": "demo",
    "cluster_uuid": "6vYxQ3m1T5aK2u8b0cD4eF",
    "version": {
        "number": "9.1.2",
        "build_flavor": "default",
        "build_type": "docker",
        "build_hash": "0" * 40,
        "build_date": "2026-07-01T00:00:00.000000000Z",
        "build_snapshot": False,
        "lucene_version": "10.2.2",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "You Know, for Search",
}


def dressed(request: web.Request, status: int, body: Any) -> web.Response:
    """The answer with Elasticsearch's headers; ``filter_path`` and ``pretty`` are heeded."""
    paths = [path.split(".") for path in request.query.get("filter_path", "").split(",") if path]
    if paths:
        body = _only(body, paths)
    pretty = request.query.get("pretty", "false") != "false"
    text = json.dumps(body, indent=2) if pretty else json.dumps(body, separators=(",", ":"))
    response = web.Response(status=status, body=text.encode(), headers=dict(_PRODUCT))
    response.headers["Content-Type"] = media_type(request)
    if "X-Opaque-Id" in request.headers:
        response.headers["X-Opaque-Id"] = request.headers["X-Opaque-Id"]
    return response


def refused(request: web.Request, refusal: Refusal) -> web.Response:
    response = web.json_response(refusal.body, status=refusal.status, headers={**_PRODUCT, **refusal.headers})
    if "X-Opaque-Id" in request.headers:
        response.headers["X-Opaque-Id"] = request.headers["X-Opaque-Id"]
    return response


def _only(value: Any, paths: list[list[str]]) -> Any:
    if any(not path for path in paths):
        return value
    if isinstance(value, list):
        return [kept for item in value if (kept := _only(item, paths)) not in ({}, [])]
    if not isinstance(value, dict):
        return {}
    kept = {key: _only(item, deeper) for key, item in value.items() if (deeper := _below(key, paths))}
    return {key: item for key, item in kept.items() if item not in ({}, [])}


def _below(key: str, paths: list[list[str]]) -> list[list[str]]:
    return [path[1:] for path in paths if path[0] in (key, "*")]
