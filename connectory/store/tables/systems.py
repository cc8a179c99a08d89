"""Systems, the times when one did not answer, and when nobody asked it."""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field, SQLModel

from connectory.model import (
    SystemErrorCode,
    SystemHealth,
)
from connectory.store.tables.columns import Long, enum_column, key_column, text_column, time_column


class SystemRow(SQLModel, table=True):
    """One configured deployment of an upstream, as its polls left it."""

    __tablename__ = "systems"

    id: str = key_column()
    name: str = text_column(unique=True)
    kind: str = text_column()
    #: false once it is taken out of the configuration: hidden with all that is its own, kept for its return
    configured: bool = Field(default=True)
    health: SystemHealth = enum_column(SystemHealth)
    capabilities: str = text_column()
    #: seconds
    stale_after: float
    last_poll_at: datetime | None = time_column()
    #: last complete poll
    last_success_at: datetime | None = time_column()
    #: last poll that read the list, complete or not: when the rows without a time of their own were seen
    observed_at: datetime | None = time_column()
    next_poll_at: datetime | None = time_column()
    #: when it entered DOWN or AUTH_FAILED
    down_since: datetime | None = time_column()
    consecutive_failures: int = 0
    error_code: SystemErrorCode | None = enum_column(SystemErrorCode, null=True)
    error_message: str | None = text_column(null=True)
    error_at: datetime | None = time_column()
    #: of the lease under which it is polled, see LeaseRow: who polls under another one writes nothing of it
    fence: int = Field(default=0, sa_column=Column(Long, nullable=False, server_default="0"))


class OutageRow(SQLModel, table=True):
    """How long a system did not answer, from entering DOWN or AUTH_FAILED to leaving them; kept beyond the log."""

    __tablename__ = "outages"
    __table_args__ = (Index("ix_outages_system", "system_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    system_id: str = text_column()
    started_at: datetime = time_column(null=False)
    #: null while it lasts
    ended_at: datetime | None = time_column()
    #: what it began with
    code: SystemErrorCode = enum_column(SystemErrorCode)
    message: str = text_column()


class UnwatchedRow(SQLModel, table=True):
    """A stretch of time in which a system was due and nobody asked it: no gateway ran, or the machine slept."""

    __tablename__ = "unwatched"
    __table_args__ = (Index("ix_unwatched_system", "system_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    system_id: str = text_column()
    started_at: datetime = time_column(null=False)
    ended_at: datetime = time_column(null=False)


SYSTEMS = SystemRow.__table__  # type: ignore[attr-defined]
OUTAGES = OutageRow.__table__  # type: ignore[attr-defined]
UNWATCHED = UnwatchedRow.__table__  # type: ignore[attr-defined]
