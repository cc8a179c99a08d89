"""Whether a gateway could start on a store, found out without leaving anything in it."""

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from connectory.store import migration
from connectory.store.database import Store, StoreUnreachable

#: What a gateway would write first: tables where they are missing or of an older version, rows otherwise.
_TABLE, _ROWS = "CREATE TABLE connectory_trial (nothing INTEGER)", "UPDATE systems SET configured = true WHERE 1 = 0"


class _Enough(Exception):
    """Rolls a trial back."""


async def try_out(url: str) -> None:
    """Raises StoreError where a gateway could not start on the store at ``url``. A file that is not there yet is not
    made."""
    store = Store(url)
    try:
        if not _is_absent(store):
            await store.open()
            await _write_nothing(store)
    finally:
        await store.close()


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
