"""What a client asks for, read from an HTTP request as GraphQL over HTTP describes it, or from a message."""

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import hdrs, web
from multidict import MultiMapping

from connectory.answer import JSON
from connectory.http_server import CODINGS, UNKNOWN_CODING

#: Seconds that a body may take to arrive.
BODY_WITHIN = 30.0
#: What an operation's parameters have to be, and how that is said.
_SHAPES: Mapping[str, tuple[type, str]] = {
    "query": (str, "text"),
    "operationName": (str, "text or null"),
    "variables": (dict, "an object or null"),
    "extensions": (dict, "an object or null"),
}
_CODES = {
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "REQUEST_TIMEOUT",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_CONNECTIONS",
    503: "SHUTTING_DOWN",
}


class BadRequest(Exception):
    """The request cannot be carried out as it is. The message is for its sender; ``allow`` names the methods that a 405
    has to name.
    """

    def __init__(self, message: str, *, status: int = 400, allow: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = _CODES.get(status, "BAD_REQUEST")
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as asked for."""

    query: str
    variables: dict[str, Any] | None = None
    name: str | None = None
    extensions: dict[str, Any] | None = None


async def read(request: web.Request) -> Operation:
    """The operation in a GET's query or in a POST's body. Raises BadRequest; web.HTTPRequestEntityTooLarge."""
    if request.method == hdrs.METH_POST:
        return _operation(await _body(request))
    return _operation(_query(request.query))


async def _body(request: web.Request) -> Any:
    if request.content_type != JSON or request.headers.get(hdrs.CONTENT_TYPE) is None:
        sent = request.headers.get(hdrs.CONTENT_TYPE)
        raise BadRequest(
            f"The body has to be {JSON}"
            + (f", not {request.content_type}." if sent else "; no Content-Type was sent."),
            status=415,
        )
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise BadRequest("The body has to be UTF-8.", status=415)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() not in ("identity", *CODINGS):
        raise BadRequest(UNKNOWN_CODING, status=415)
    try:
        async with asyncio.timeout(BODY_WITHIN):
            text = (await request.read()).decode("utf-8")
    except TimeoutError:
        raise BadRequest(f"The body has not come within {BODY_WITHIN:g} s.", status=408) from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8 text.") from None
    except web.RequestPayloadError:
        raise BadRequest("The body cannot be read.") from None
    return decode(text, "The body")


def _query(query: MultiMapping[str]) -> dict[str, Any]:
    """The parameters in a URL: ``variables`` and ``extensions`` are JSON text there."""
    for key in _SHAPES:
        if len(query.getall(key, ())) > 1:
            raise BadRequest(f"The parameter {key} is given twice.")
    found: dict[str, Any] = {key: query[key] for key in ("query", "operationName") if key in query}
    for key in ("variables", "extensions"):
        if query.get(key):
            found[key] = decode(query[key], f"The parameter {key}")
    _check_unicode(found)
    return found


class _Unfit(ValueError):
    """Python would take it."""


def decode(text: str, what: str) -> Any:
    """``text`` as JSON; ``what`` names it in the refusal. Raises BadRequest."""
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRequest(f"{what} is not valid JSON: see line {error.lineno}, column {error.colno}.") from None
    except _Unfit as error:
        raise BadRequest(f"{what} is not valid JSON: {error}.") from None
    except RecursionError:
        raise BadRequest(f"{what} is not valid JSON: it is nested too deeply.") from None
    if "\\u" in text:
        _check_unicode(found)
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise _Unfit(f"{constant} is no number of JSON")


def _whole(text: str) -> int:
    if (digits := len(text.lstrip("-"))) > _MOST_DIGITS:
        raise _Unfit(f"a number of {digits:,} digits is too long")
    return int(text)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise _Unfit(f"{text[:20]} is too large")
    return number


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice, whoever has read the request before us may have seen the other value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unfit("a key stands twice in one object")
    return found


#: Of a whole number: no argument takes one of more than twenty, and Python none of more than some thousands.
_MOST_DIGITS = 1_000
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unambiguous
)


def _check_unicode(found: Any) -> None:
    """Half a surrogate pair is no character: no store takes it and no answer could repeat it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise BadRequest("The request holds half of a surrogate pair, which is no character.") from None


def _operation(parameters: Any) -> Operation:
    if not isinstance(parameters, dict):
        hint = " Send operations one by one; batches are not served." if isinstance(parameters, list) else ""
        raise BadRequest(f"The body has to be a JSON object.{hint}")
    operation = shape(parameters)
    if not operation.query.strip():
        raise BadRequest('"query" is missing: the text of a GraphQL document.')
    return operation


def shape(parameters: Mapping[str, Any]) -> Operation:
    """The parameters as an operation, each of the type that it has to have. Raises BadRequest."""
    for key, (shape, said) in _SHAPES.items():
        value = parameters.get(key)
        if value is not None and not isinstance(value, shape):
            raise BadRequest(f'"{key}" has to be {said}.')
    query = parameters.get("query")
    if query is None:
        raise BadRequest('"query" is missing: the text of a GraphQL document.')
    return Operation(
        query, parameters.get("variables"), parameters.get("operationName") or None, parameters.get("extensions")
    )
