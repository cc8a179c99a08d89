"""What clients see of an error.

Mistakes of the client and errors raised on purpose stay as they are, with a code; anything unexpected becomes
"Internal error" with an incident id, under which the log has the rest. A store that does not answer is neither.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import Any, cast

from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from connectory.store.error_texts import in_our_words, is_unavailable
from connectory.store.write_health import reason

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"
INTERNAL = "INTERNAL_SERVER_ERROR"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"

log = logging.getLogger(__name__)


def present(result: ExecutionResult) -> list[GraphQLFormattedError]:
    """The errors of a result, ready to be sent. Unexpected ones are logged here, once for each exception."""
    before_execution = isinstance(result, PreExecutionError)
    incidents: dict[int, GraphQLFormattedError] = {}
    return [_present(error, before_execution, incidents) for error in result.errors or ()]


def codes(errors: Sequence[GraphQLFormattedError]) -> set[str]:
    """Of errors as ``present`` and ``failure`` give them."""
    return {error["extensions"]["code"] for error in errors}


def failure(error: BaseException, **known: Any) -> GraphQLFormattedError:
    """What the client is told of an exception that nobody raised for it. It is logged here."""
    if not is_unavailable(error):
        return internal(error, **known)
    log.warning(
        f"an operation has got no answer from the store: {reason(error)}",
        extra={"action": "graphql.store_unavailable", **known},
    )
    message = f"The store does not answer now: {in_our_words(error)}. Try again in a while."
    return {"message": message, "extensions": {"code": STORE_UNAVAILABLE}}


def internal(error: BaseException, **known: Any) -> GraphQLFormattedError:
    """Log an unexpected exception with its traceback; what the client is told of it instead."""
    incident = uuid.uuid4().hex
    log.error(
        "An unexpected error, incident %s: %s",
        incident,
        type(error).__name__,
        exc_info=(type(error), error, error.__traceback__),
        extra={"action": "graphql.internal_error", "incident": incident, **known},
    )
    return {"message": "Internal error", "extensions": {"code": INTERNAL, "incidentId": incident}}


def _present(
    error: GraphQLError, before_execution: bool, incidents: dict[int, GraphQLFormattedError]
) -> GraphQLFormattedError:
    cause = unexpected(error)
    if cause is None:
        extensions = {"code": _code(error, before_execution), **(error.extensions or {})}
        return {**error.formatted, "message": _in_our_words(error), "extensions": extensions}
    shown = incidents.get(id(cause)) or failure(cause, path=".".join(map(str, error.path or ())))
    incidents[id(cause)] = shown
    place = {key: value for key, value in error.formatted.items() if key in ("locations", "path")}
    return {**cast(GraphQLFormattedError, place), **shown}


def _in_our_words(error: GraphQLError) -> str:
    """Its message without what Python said of a value that a scalar could not read, which graphql-core quotes."""
    return error.message.replace(f", but encountered error '{error.original_error}'; found", ", found")


def unexpected(error: GraphQLError) -> BaseException | None:
    """The exception behind an error that nobody raised for the client; None for one that is the client's to see."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if cause is None:
        return None
    # what a scalar raises for a value in the document or in the variables has a place in the document and no path
    return cause if error.path is not None or not error.nodes else None


def _code(error: GraphQLError, before_execution: bool) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return PARSE_FAILED
    return VALIDATION_FAILED if before_execution else BAD_USER_INPUT
