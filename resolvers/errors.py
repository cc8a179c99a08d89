"""What a client is told when its question cannot be answered as asked."""

from graphql import GraphQLError


class BadUserInput(GraphQLError):
    """The arguments do not make sense; the message says which and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "BAD_USER_INPUT"})


class NotFound(GraphQLError):
    """There is nothing of that id, and an answer without it would be none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "NOT_FOUND"})
