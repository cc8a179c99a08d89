"""Statements that take long, and what becomes of the connections that they run on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from tests.wait import until

#: Seconds that a slow statement takes at least; on SQLite it keeps a processor busy.
SECONDS = 6.0
_SLOW = {
    "sqlite": "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1.2e7) SELECT max(x) FROM n)",
    "postgresql": f"(SELECT 1 FROM pg_sleep({SECONDS}))",
}


class Slow:
    """Statements that were made slow, and the connections that they were sent on."""

    def __init__(self) -> None:
        self.begun = 0
        #: connections that were lost, for whatever reason
        self.lost = 0
        #: those that have not been given back yet
        self._lent: set[Any] = set()

    async def has_begun(self, count: int = 1) -> None:
        """Return once so many have been sent."""

        async def look() -> bool:
            return self.begun >= count

        await until(look)

    async def is_over(self, within: float) -> None:
        """Return once every connection has been given back."""

        async def look() -> bool:
            return not self._lent

        await until(look, within)

    def _send(self, connection: Any) -> None:
        self.begun += 1
        self._lent.add(connection.connection.dbapi_connection)

    def _return(self, connection: Any, *_: Any) -> None:
        self._lent.discard(connection)

    def _lose(self, connection: Any, *_: Any) -> None:
        self.lost += 1
        self._return(connection)


@contextmanager
def slowed(words: str) -> Iterator[Slow]:
    """While the block runs, every SELECT that holds ``words`` is slow, whoever sends it; its rows are the same."""
    slow = Slow()

    def change(connection: Any, _: Any, statement: str, parameters: Any, *__: Any) -> tuple[str, Any]:
        if statement.startswith("SELECT") and words in statement:
            slow._send(connection)
            statement = f"SELECT s.* FROM ({statement}) AS s WHERE {_SLOW[connection.dialect.name]} > 0"
        return statement, parameters

    hooks = [(Pool, "checkin", slow._return), (Pool, "invalidate", slow._lose)]
    event.listen(Engine, "before_cursor_execute", change, retval=True)
    for target, name, hook in hooks:
        event.listen(target, name, hook)
    try:
        yield slow
    finally:
        event.remove(Engine, "before_cursor_execute", change)
        for target, name, hook in hooks:
            event.remove(target, name, hook)
