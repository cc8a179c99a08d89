"""Who may do what only one process may."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from connectory.store.tables.columns import Long, key_column, long_column, text_column, time_column


class LeaseRow(SQLModel, table=True):
    """Who does what only one process may do, and until when. A lease that was given back keeps its row."""

    __tablename__ = "leases"

    #: ``system:NAME``, ``notices``, ``retention``
    name: str = key_column()
    #: one store that a process has opened; null: it was given back
    holder: str | None = text_column(null=True)
    #: that process, see connectory.store.leases.process
    host: str = text_column()
    pid: int = Field(sa_column=Column(Long, nullable=False))
    birth: str = text_column()
    #: pid of the session of PostgreSQL that holds the advisory lock
    backend: int | None = long_column()
    #: raised by every taker; the row that the lease guards has the same number
    fence: int = Field(sa_column=Column(Long, nullable=False))
    #: by the clock of the database on PostgreSQL, of the holder's machine on SQLite
    since: datetime = time_column(null=False)
    renewed_at: datetime = time_column(null=False)
    expires_at: datetime = time_column(null=False)


LEASES = LeaseRow.__table__  # type: ignore[attr-defined]
