"""Whether the store takes what is written, as this process finds out by writing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection

from connectory.mistakes import Mistake
from connectory.store.words import in_our_words

#: Seconds for which a write that failed says something of the store, unless another one succeeds.
_TELLING = 120.0


@dataclass(eq=False, slots=True)
class Attempt:
    """One transaction. ``waits_since``: while somebody else holds the lock of the whole store."""

    waits_since: float | None = None


class Writing:
    """Of one store. ``patience`` are seconds that a write may take to begin; ``ticks`` counts seconds."""

    def __init__(self, patience: float, ticks: Callable[[], float] = time.monotonic) -> None:
        #: transactions that the store has not taken, since the start
        self.failures = 0
        self._patience, self._ticks = patience, ticks
        self._attempts: set[Attempt] = set()
        self._failed: tuple[float, str] | None = None

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Around one transaction; what ends it tells how the store is."""
        attempt = Attempt()
        self._attempts.add(attempt)
        try:
            yield attempt
        except Exception as error:
            if is_failure(error):
                self.failures += 1
                self._failed = self._ticks(), in_our_words(error)
            raise
        else:
            self._failed = None
        finally:
            self._attempts.discard(attempt)

    def waits(self, attempt: Attempt) -> None:
        attempt.waits_since = self._ticks()

    @property
    def waited(self) -> float:
        """Seconds that the longest of the present transactions has been waiting for the lock; 0 when none does."""
        now = self._ticks()
        return max((now - each.waits_since for each in self._attempts if each.waits_since is not None), default=0.0)

    @property
    def is_stuck(self) -> bool:
        return self.waited >= self._patience

    def problem(self) -> str | None:
        """Why the store seems not to take anything now; None when it does, or when nobody knows."""
        if self.is_stuck:
            return f"the store cannot be written: somebody else has held its lock for {self.waited:.0f} s"
        if self._failed is None or (age := self._ticks() - self._failed[0]) > _TELLING:
            return None
        return f"the store cannot be written: {self._failed[1]} ({age:.0f} s ago)"


def is_failure(error: BaseException) -> bool:
    """Whether it is the store that failed, and not what was to be written."""
    if isinstance(error, IntegrityError | DataError):
        return False
    if isinstance(error, Mistake):  # the tables are of another version
        return True
    if not isinstance(error, DBAPIError | NoConnection | OSError):
        return False
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ValueError | TypeError | OverflowError):
        cause = cause.orig if isinstance(cause, StatementError) else cause.__cause__
    return cause is None


def reason(error: BaseException) -> str:
    """The first line of what the database said: for the log, and for whoever starts the program."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0] if str(original).strip() else type(original).__name__
