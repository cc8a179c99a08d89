"""Statements that are held back for as long as a test wants."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.util import await_only

#: A value that slow statements have among their parameters.
SLOWLY = "slowly"
#: A query whose statement is slow.
QUERY = f'{{ connectors(filter: {{nameContains: "{SLOWLY}"}}) {{ totalCount }} }}'


class Slow:
    """Those that are under way."""

    def __init__(self) -> None:
        self.held = 0
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        self._gate.set()

    def hold(self, _: Any, __: Any, ___: str, parameters: Any, *____: Any) -> None:
        if SLOWLY in str(parameters):
            self.held += 1
            await_only(self._gate.wait())


@contextmanager
def held_statements() -> Iterator[Slow]:
    slow = Slow()
    event.listen(Engine, "before_cursor_execute", slow.hold)
    try:
        yield slow
    finally:
        slow.let_go()
        event.remove(Engine, "before_cursor_execute", slow.hold)
