"""What callers of the store may have to tell apart of what it raises."""

from sqlalchemy.exc import IntegrityError, SQLAlchemyError, StatementError

#: Whatever the database refuses, and whatever cannot be brought before it.
DatabaseError = SQLAlchemyError


def lies_in_the_values(error: Exception) -> bool:
    """Whether a write failed for what it was to store, and not because of the store."""
    if isinstance(error, IntegrityError):  # a row that is there already is another writer's doing
        return "null" in str(error.orig).lower()
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, AttributeError | OverflowError | TypeError | ValueError):
        reason = reason.orig if isinstance(reason, StatementError) else reason.__cause__
    return reason is not None
