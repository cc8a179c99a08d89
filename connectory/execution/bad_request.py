"""What a request is refused with that is not carried out as it is."""

from typing import Any

from graphql import GraphQLFormattedError

_CODES = {
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_ENTITY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY_CONNECTIONS",
    503: "SHUTTING_DOWN",
}


class BadRequest(Exception):
    """The request cannot be carried out as it is. The message is for its sender; ``allow`` names the methods that a 405
    has to name, ``setting`` the limit that the request exceeds, ``retry_after`` tells in how many seconds it may be
    worth another try.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        allow: str | None = None,
        setting: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or _CODES.get(status, "BAD_REQUEST")
        self.allow = allow
        self.setting = setting
        self.retry_after = retry_after

    @property
    def error(self) -> GraphQLFormattedError:
        """As a client reads it, whichever way."""
        extensions: dict[str, Any] = {"code": self.code}
        if self.retry_after is not None:
            extensions["retryAfterSeconds"] = self.retry_after
        return {"message": str(self), "extensions": extensions}
