"""Answers of the web application that are JSON: compact, in UTF-8, errors in the shape that GraphQL clients read."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

JSON = "application/json"
#: Of every answer. The framework would tell its version and Python's.
HEADERS = {"X-Content-Type-Options": "nosniff", hdrs.SERVER: "Connectory"}


def encode(body: Any) -> bytes:
    """JSON as RFC 8259 has it: ValueError for NaN and Infinity."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def answer(
    body: Any, *, status: int = 200, content_type: str = JSON, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response whose body is ``body`` as JSON."""
    return web.Response(
        body=encode(body), status=status, content_type=content_type, charset="utf-8", headers=dict(headers or {})
    )


def refuse(
    status: int, code: str, message: str, *, content_type: str = JSON, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A request that is not carried out: ``{"errors": [{"message": …, "extensions": {"code": …}}]}``."""
    body = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return answer(body, status=status, content_type=content_type, headers=headers)
