"""The change log and its two ends."""

from datetime import datetime

from sqlalchemy import Column, Index, and_, text
from sqlmodel import Field, SQLModel

from connectory.model import (
    EventKind,
)
from connectory.store.tables.columns import Long, enum_column, long_column, text_column, time_column


class EventRow(SQLModel, table=True):
    """One line of the change log. What it says is of its moment."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_connector", "connector_id", "position"),
        Index("ix_events_job", "job_id", "position"),
        Index("ix_events_system", "system_id", "position"),
        # a connector's own, without those of its jobs, which are many
        Index(
            "ix_events_own",
            "connector_id",
            "position",
            sqlite_where=text("job_id IS NULL"),
            postgresql_where=text("job_id IS NULL"),
        ),
    )

    #: without gaps, in commit order (see LogHeadRow)
    position: int = Field(sa_column=Column(Long, primary_key=True, autoincrement=False))
    at: datetime = time_column(null=False)
    kind: EventKind = enum_column(EventKind)
    system_id: str = text_column()
    connector_id: str | None = text_column(null=True)
    job_id: str | None = text_column(null=True)
    status: int | None = None
    previous_status: int | None = None
    health: int | None = None
    previous_health: int | None = None
    #: a job's progress; in the rows of a connector its documents in the index, which its history is drawn from
    processed: int | None = long_column()
    changed_fields: str | None = text_column(null=True)
    message: str | None = text_column(null=True)
    #: drawn by the commit that wrote it, see ``cursors``; null in rows from before version 0009
    mark: int | None = None


class LogHeadRow(SQLModel, table=True):
    """The newest position of the change log: one row.

    Positions are taken by updating it, and the row lock is held until the commit: so on PostgreSQL too they become
    visible in order, and a transaction that fails gives its positions back.
    """

    __tablename__ = "log_head"

    id: int = Field(primary_key=True)
    position: int = Field(sa_column=Column(Long, nullable=False))
    #: that of the row there
    mark: int | None = None


class LogStartRow(SQLModel, table=True):
    """Where the change log begins, and of which store it is: one row. It is no column of ``log_head``, as retention and
    those who append would wait for each other."""

    __tablename__ = "log_start"

    id: int = Field(primary_key=True)
    #: drawn once, when the table was made
    store: int
    #: of the newest row that retention has removed; 0 before it has removed any
    position: int = Field(sa_column=Column(Long, nullable=False))
    #: that row's
    mark: int | None = None


EVENTS = EventRow.__table__  # type: ignore[attr-defined]
LOG_HEAD = LogHeadRow.__table__  # type: ignore[attr-defined]
LOG_START = LogStartRow.__table__  # type: ignore[attr-defined]
#: The one row of both: by their keys, or PostgreSQL, which has no statistics of such small tables, expects millions.
LOG_ENDS = LOG_HEAD.join(LOG_START, and_(LOG_HEAD.c.id == 1, LOG_START.c.id == 1))
