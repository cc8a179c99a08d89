"""The messages of ``graphql-transport-ws`` (github.com/enisdenjo/graphql-ws, PROTOCOL.md) and why a connection ends."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from connectory.execution.bad_request import BadRequest
from connectory.execution.decoding import decode
from connectory.execution.operation import Operation, shape

PROTOCOL = "graphql-transport-ws"
#: Characters of an operation's id.
LONGEST_ID = 256
#: Bytes that RFC 6455 leaves for a reason.
_LONGEST_REASON = 123

Message = Mapping[str, Any]


class CloseCode(IntEnum):
    """Why a connection is closed; from 4400 on in the protocol's own words."""

    GOING_AWAY = 1001
    TOO_SLOW = 1013
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    INIT_TIMEOUT = 4408
    DUPLICATE_ID = 4409
    TOO_MANY_INITS = 4429


class CloseConnection(Exception):
    """The connection has to end; ``code`` and message, the close reason, are for its client."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def reason(self) -> bytes:
        """The message as a close frame takes it: 123 bytes of UTF-8 at most."""
        return str(self).encode()[:_LONGEST_REASON].decode(errors="ignore").encode()


def read_message(text: str, most_values: int) -> tuple[str, Message]:
    """Its type and all of it. Raises CloseConnection."""
    try:
        message = decode(text, "The message", most_values)
    except BadRequest as error:
        raise CloseConnection(CloseCode.BAD_MESSAGE, str(error)) from None
    if not isinstance(message, dict):
        raise CloseConnection(CloseCode.BAD_MESSAGE, "The message has to be a JSON object.")
    kind = message.get("type")
    if not isinstance(kind, str):
        raise CloseConnection(CloseCode.BAD_MESSAGE, 'The message needs a "type".')
    return kind, message


def read_payload(message: Message) -> dict[str, Any] | None:
    """The payload of a message that need not have one. Raises CloseConnection."""
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise CloseConnection(CloseCode.BAD_MESSAGE, '"payload" has to be an object or null.')
    return payload


def read_id(message: Message) -> str:
    """Raises CloseConnection."""
    id = message.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise CloseConnection(CloseCode.BAD_MESSAGE, f'"id" has to be text of 1 to {LONGEST_ID} characters.')
    return id


def read_operation(message: Message) -> Operation:
    """Raises CloseConnection."""
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise CloseConnection(CloseCode.BAD_MESSAGE, '"payload" has to be an object with a "query".')
    try:
        return shape(payload)
    except BadRequest as error:
        raise CloseConnection(CloseCode.BAD_MESSAGE, str(error)) from None
