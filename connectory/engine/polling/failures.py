"""What exceptions mean for a system: pure."""

from sqlalchemy.exc import IntegrityError, StatementError

from connectory.model import Problem, SystemErrorCode
from sources.base import SourceError


def problem_of(error: SourceError) -> Problem:
    code = getattr(error, "code", SystemErrorCode.MISMATCH)
    return Problem(code, str(error), getattr(error, "retry_after", None))


def lies_in_the_facts(error: Exception) -> bool:
    """Whether a commit failed for what it was to store, and not because of the store."""
    if isinstance(error, IntegrityError):  # a row that is there already is another writer's doing
        return "null" in str(error.orig).lower()
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, AttributeError | OverflowError | TypeError | ValueError):
        reason = reason.orig if isinstance(reason, StatementError) else reason.__cause__
    return reason is not None
