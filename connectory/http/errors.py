"""What can come of asking a system: five errors, each named for what the caller should do next."""

from typing import ClassVar

from connectory.model import Problem, SystemErrorCode


class SourceError(Exception):
    """Base of what an adapter raises. ``code`` is what ``System.lastError`` shows."""

    code: ClassVar[SystemErrorCode]
    #: seconds that the upstream asked us to wait; None where it did not
    retry_after: float | None = None

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        #: the upstream's HTTP status, where there was an answer
        self.status = status

    def problem(self, what: str) -> Problem:
        """What an answer lacks for it. ``what`` could not be read."""
        return Problem(self.code, f"{what}: {self}", retry_after=self.retry_after)


class SourceUnreachable(SourceError):
    """Back off and try again: no connection, no answer in time, TLS refused, or the upstream fails by itself."""

    code = SystemErrorCode.UNREACHABLE

    def __init__(
        self,
        message: str,
        *,
        code: SystemErrorCode = SystemErrorCode.UNREACHABLE,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status)
        self.code = code  # type: ignore[misc]
        self.retry_after = retry_after


class SourceRateLimited(SourceError):
    """Wait."""

    code = SystemErrorCode.RATE_LIMITED

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = 429) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class SourceAuthFailed(SourceError):
    """Hold until the configuration changes; probe rarely."""

    code = SystemErrorCode.AUTH_FAILED


class SourceMismatch(SourceError):
    """We misread, or the upstream broke its promise: report it, and go on with the rest."""

    code = SystemErrorCode.MISMATCH


class ActionNotSupported(SourceError):
    """The upstream has no such action."""

    code = SystemErrorCode.UPSTREAM_ERROR
