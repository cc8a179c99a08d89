"""The rows of leases, as both stores have them: taking one raises its fence, and that of the row it guards."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy import select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.leases.process import Process, this_process
from connectory.store.postgres import Postgres
from connectory.store.tables import LEASES, NOTIFIER, SYSTEMS

#: The names of leases.
NOTICES_LEASE, RETENTION_LEASE, _SYSTEM = "notices", "retention", "system:"


class LeaseLost(Exception):
    """Another process has the lease now, or had it meanwhile: what we remember is out of date, nothing was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One that was taken. Taken again, by whomever, it has a greater fence."""

    name: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who took a lease."""

    host: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.host} pid {self.pid} since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Found:
    """One lease at one look."""

    is_free: bool
    #: None: nobody has it
    holder: Holder | None


class Own:
    """What we are called in the rows."""

    def __init__(self) -> None:
        self.id = uuid4().hex
        self.process: Process = this_process()


class LeaseStore(Protocol):
    """The store that the leases are in, as far as they need it; see ``Store``."""

    @property
    def file(self) -> str: ...
    @property
    def postgres(self) -> Postgres | None: ...
    @property
    def is_sqlite(self) -> bool: ...
    def read(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
    def write(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
    async def check_revision(self, connection: AsyncConnection) -> None: ...


class LeaseTable(Protocol):
    """Leases in one kind of store. Everything raises what the database raises when it is down."""

    @property
    def is_connected(self) -> bool:
        """False: what was held is lost, whatever the rows say."""

    async def renew(self, expiry: float) -> Mapping[str, int]:
        """Renew all that are ours; their fences by name."""

    async def look(self, names: list[str], expiry: float) -> Mapping[str, Found]:
        """What those that we have not are like."""

    async def take(self, name: str, expiry: float) -> int | None:
        """Take one that was found free; its fence, or None when somebody was faster or still writes."""

    async def close(self) -> None:
        """Give back what is held, at once."""


def lease_of(system: str) -> str:
    """The name of the lease of polling a system."""
    return f"{_SYSTEM}{system}"


def guarded_row(name: str) -> tuple[Any, Any] | None:
    """The table, and the criterion within it, of the row whose fence keeps others from writing under that lease."""
    if name.startswith(_SYSTEM):
        return SYSTEMS, SYSTEMS.c.name == name.removeprefix(_SYSTEM)
    return (NOTIFIER, true()) if name == NOTICES_LEASE else None


async def lock(connection: AsyncConnection, lease: Lease) -> None:
    """Wait for whoever writes what the lease guards, and let nobody else do so up to the commit. Raises LeaseLost.

    Called first in a transaction.
    """
    guarded = guarded_row(lease.name)
    if guarded is not None:
        table, which = guarded
        ours = select(table.c.id).where(which, table.c.fence == lease.fence).with_for_update()
        if (await connection.execute(ours)).first() is None:
            raise LeaseLost


def taking(own: Own, name: str, now: Any, expires_at: Any, backend: Any = None) -> Any:
    """The statement that makes a lease ours and tells its fence."""
    insert = sqlite.insert if backend is None else postgresql.insert
    process = own.process
    ours: dict[str, Any] = {
        "holder": own.id, "host": process.host, "pid": process.pid, "birth": process.birth, "backend": backend,
        "since": now, "renewed_at": now, "expires_at": expires_at,
    }  # fmt: skip
    row = insert(LEASES).values(name=name, fence=1, **ours)
    again = ours | {"fence": LEASES.c.fence + 1}
    return row.on_conflict_do_update(index_elements=["name"], set_=again).returning(LEASES.c.fence)
