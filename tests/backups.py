"""What happens to a store while no gateway runs: it is lost, or a backup takes its place."""

import shutil
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from connectory.store import Store, upgrade


class Backup:
    """A store as it was: of SQLite a copy of its file, of PostgreSQL the rows of its tables."""

    def __init__(self, url: str, rows: dict[str, list[Any]]) -> None:
        self._url, self._rows = url, rows

    @classmethod
    async def take(cls, url: str, *, rows_alone: bool = False) -> "Backup":
        """``rows_alone``: of SQLite too, for ``put_into``."""
        if (file := _file(url)) is not None and not rows_alone:
            shutil.copy(file, f"{file}.backup")  # nobody is connected, so that all of it stands in the file
            return cls(url, {})
        store = Store(url)
        async with store.read() as connection:
            tables = SQLModel.metadata.sorted_tables
            rows = {
                each.name: [dict(row) for row in (await connection.execute(each.select())).mappings()]
                for each in tables
            }
        await store.close()
        return cls(url, rows)

    async def restore(self) -> None:
        if (file := _file(self._url)) is not None:
            shutil.copy(f"{file}.backup", file)
            return
        store = Store(self._url)
        async with store.write() as connection:
            await self.put_into(connection)
        await store.close()

    async def put_into(self, connection: AsyncConnection) -> None:
        """The rows, also while somebody reads."""
        for table in SQLModel.metadata.sorted_tables:
            await connection.execute(table.delete())
            if rows := self._rows[table.name]:
                await connection.execute(table.insert(), rows)


async def make_anew(url: str) -> None:
    """The store is lost, and an empty one made in its place."""
    if (file := _file(url)) is not None:
        file.unlink()
    else:
        connection = await asyncpg.connect(url, timeout=10)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()
    await upgrade(url)


def _file(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
