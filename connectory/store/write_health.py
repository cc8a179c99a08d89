"""Whether the store takes what is written, as this process finds out by writing."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from connectory.errors import Mistake
from connectory.store.error_texts import in_our_words


class Attempt:
    """One transaction. ``waits_since``: while a statement of it is under way, which waits for a lock, perhaps."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self.waits_since: float | None = None
        self._ticks = ticks

    @contextmanager
    def on(self, connection: AsyncConnection) -> Iterator[None]:
        """Around what it does on this connection, whose engine is one of those that are followed."""
        assert connection.sync_connection is not None
        info = connection.sync_connection.info
        info[_ATTEMPT] = self
        try:
            yield
        finally:
            info.pop(_ATTEMPT, None)

    def begin_statement(self) -> None:
        """A statement is under way from now on, or the commit."""
        self.waits_since = self._ticks()

    def end_statement(self) -> None:
        """None is."""
        self.waits_since = None


#: Where a connection keeps the attempt that it is used for.
_ATTEMPT = "connectory_attempt"


def follow(engine: AsyncEngine) -> None:
    """Tell the attempts on its connections when their statements begin and end."""

    def begin(connection: Connection, *_: Any) -> None:
        if (attempt := connection.info.get(_ATTEMPT)) is not None:
            attempt.begin_statement()

    def end(connection: Connection, *_: Any) -> None:
        if (attempt := connection.info.get(_ATTEMPT)) is not None:
            attempt.end_statement()

    for name, listen in (("before_cursor_execute", begin), ("after_cursor_execute", end), ("commit", begin)):
        event.listen(engine.sync_engine, name, listen)


class WriteHealth:
    """Of one store. ``patience`` are seconds that a statement of a write may take; ``ticks`` counts seconds."""

    def __init__(self, patience: float, ticks: Callable[[], float] = time.monotonic) -> None:
        #: transactions that the store has not taken, since the start
        self.failures = 0
        self._patience, self._ticks = patience, ticks
        self._attempts: set[Attempt] = set()
        #: why the last one failed, and when; None when it did not
        self._failed: tuple[float, str] | None = None
        self._succeeded_at = -math.inf

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Around one transaction; what ends it tells how the store is."""
        attempt = Attempt(self._ticks)
        self._attempts.add(attempt)
        try:
            yield attempt
        except Exception as error:
            if is_failure(error):
                self.failures += 1
                self._failed = self._ticks(), in_our_words(error)
            raise
        else:
            self._failed, self._succeeded_at = None, self._ticks()
        finally:
            self._attempts.discard(attempt)

    @property
    def waited(self) -> float:
        """Seconds that the longest of the present statements has taken so far; 0 when there is none."""
        now = self._ticks()
        return max((now - each.waits_since for each in self._attempts if each.waits_since is not None), default=0.0)

    @property
    def is_stuck(self) -> bool:
        """Whether one has waited for too long, and no other got through meanwhile."""
        return self._patience <= self.waited < self._ticks() - self._succeeded_at

    @property
    def has_failed(self) -> bool:
        """Whether the last one to end has."""
        return self._failed is not None

    def problem(self) -> str | None:
        """Why the store seems not to take anything now; None when it does, or when nobody knows."""
        if self.is_stuck:
            waited = f"{self.waited:.0f} s"
            return f"the store cannot be written: somebody else has held its lock for {waited}, or it does not answer"
        if self._failed is None:
            return None
        at, cause = self._failed
        return f"the store cannot be written: {cause} ({self._ticks() - at:.0f} s ago)"


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
