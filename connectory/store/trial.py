"""Whether a gateway could start on a store, found out without leaving anything in it."""

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from connectory.lanes import CONNECTIONS
from connectory.store.database import Store, StoreUnreachable
from connectory.store.migrations import upgrading as migration

#: What a gateway would write first: tables where they are missing or of an older version, rows otherwise.
_TABLE, _ROWS = "CREATE TABLE connectory_trial (nothing INTEGER)", "UPDATE systems SET configured = true WHERE 1 = 0"
#: How many connections the server grants us at most, before it counts those of others.
_ROOM = """
SELECT least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
             nullif(rolconnlimit, -1), nullif(datconnlimit, -1))
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""


class _Enough(Exception):
    """Rolls a trial back."""


async def try_out(url: str, connections: int = CONNECTIONS) -> str:
    """What else there is to know of the store at ``url`` for a gateway that may take so many connections; mostly
    nothing. Raises StoreError where it could not start. A file that is not there yet is not made."""
    store = Store(url, connections=connections)
    try:
        if _is_absent(store):
            return ""
        await store.open()
        await _write_nothing(store)
        with store.in_words():
            return await _narrowness(store, connections)
    finally:
        await store.close()


async def _narrowness(store: Store, connections: int) -> str:
    if store.is_sqlite:
        return ""
    async with store.read() as connection:
        room: int = (await connection.execute(text(_ROOM))).scalar_one()
    if room >= connections:
        return ""
    return f"the server grants {room} connections at most; store.connections = {connections} should be no more"


def _is_absent(store: Store) -> bool:
    """Whether it is a file that has yet to be made. Raises StoreUnreachable where it cannot be."""
    if not store.is_sqlite or Path(store.file).exists():
        return False
    folder = Path(store.file).absolute().parent
    if not folder.is_dir():
        raise StoreUnreachable(f"store {store}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreUnreachable(f"store {store}: the folder {folder} cannot be written to")
    return True


async def _write_nothing(store: Store) -> None:
    with suppress(_Enough), store.in_words():
        async with store.migrating() as connection:
            is_current = await store.revision(connection) == migration.head()
            await connection.execute(text(_ROWS if is_current else _TABLE))
            raise _Enough
