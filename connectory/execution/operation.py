"""What a client asks for, read from an HTTP request as GraphQL over HTTP describes it, or from a message."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from multidict import MultiMapping

from connectory.execution.bad_request import BadRequest
from connectory.execution.body import read_text
from connectory.execution.decoding import check_unicode, decode

#: What an operation's parameters have to be, and how that is said.
_SHAPES: Mapping[str, tuple[type, str]] = {
    "query": (str, "text"),
    "operationName": (str, "text or null"),
    "variables": (dict, "an object or null"),
    "extensions": (dict, "an object or null"),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as asked for."""

    query: str
    variables: dict[str, Any] | None = None
    name: str | None = None
    extensions: dict[str, Any] | None = None


async def read(request: web.Request, most_bytes: int, most_values: int) -> Operation:
    """The operation in a GET's query or in a POST's body. Raises BadRequest."""
    if request.method == hdrs.METH_POST:
        return _operation(decode(await read_text(request, most_bytes), "The body", most_values))
    return _operation(_query(request.query, most_values))


def _query(query: MultiMapping[str], most_values: int) -> dict[str, Any]:
    """The parameters in a URL: ``variables`` and ``extensions`` are JSON text there."""
    for key in _SHAPES:
        if len(query.getall(key, ())) > 1:
            raise BadRequest(f"The parameter {key} is given twice.")
    found: dict[str, Any] = {key: query[key] for key in ("query", "operationName") if key in query}
    for key in ("variables", "extensions"):
        if query.get(key):
            found[key] = decode(query[key], f"The parameter {key}", most_values)
    check_unicode(found)
    return found


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
    for key, (shape, description) in _SHAPES.items():
        value = parameters.get(key)
        if value is not None and not isinstance(value, shape):
            raise BadRequest(f'"{key}" has to be {description}.')
    query = parameters.get("query")
    if query is None:
        raise BadRequest('"query" is missing: the text of a GraphQL document.')
    return Operation(
        query, parameters.get("variables"), parameters.get("operationName") or None, parameters.get("extensions")
    )
