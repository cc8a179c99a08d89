"""What people are told of, what was sent of it, and how far the notifier has come."""

from datetime import datetime

from sqlalchemy import Column, Index, text
from sqlmodel import Field, SQLModel

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    DeliveryPhase,
    NoticeKind,
)
from connectory.store.tables.columns import Long, enum_column, key_column, long_column, text_column, time_column


class NoticeRow(SQLModel, table=True):
    """Something that people are told of, from its raising to its recovery."""

    __tablename__ = "notices"
    __table_args__ = (
        Index("ix_notices_raised", "raised_at", "id"),
        Index("ix_notices_system", "system_id", "raised_at"),
        Index(
            "ix_notices_open",
            "key",
            unique=True,
            sqlite_where=text("recovered_at IS NULL"),
            postgresql_where=text("recovered_at IS NULL"),
        ),
    )

    id: str = key_column()
    #: what it is about: there is one open notice of a key at most
    key: str = text_column()
    kind: NoticeKind = enum_column(NoticeKind)
    #: null for a job that failed
    code: ConditionCode | None = enum_column(ConditionCode, null=True)
    severity: ConditionSeverity = enum_column(ConditionSeverity)
    system_id: str = text_column()
    connector_id: str | None = text_column(null=True)
    job_id: str | None = text_column(null=True)
    title: str = text_column()
    message: str = text_column()
    since: datetime = time_column(null=False)
    #: when the notifier first saw it
    seen_at: datetime = time_column(null=False)
    #: null until it has held for long enough; what ends before that is deleted
    raised_at: datetime | None = time_column()
    #: the log's position at its raising, and the mark of the row there
    position: int | None = long_column()
    mark: int | None = None
    recovered_at: datetime | None = time_column()
    recovery_message: str | None = text_column(null=True)
    acknowledged_at: datetime | None = time_column()
    acknowledged_by: str | None = text_column(null=True)


class DeliveryRow(SQLModel, table=True):
    """One message to one receiver. It is waiting while it is neither delivered nor dead."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_notice", "notice_id"),
        Index(
            "ix_deliveries_waiting",
            "receiver",
            "sequence",
            sqlite_where=text("delivered_at IS NULL AND dead_at IS NULL"),
            postgresql_where=text("delivered_at IS NULL AND dead_at IS NULL"),
        ),
    )

    #: the key by which a receiver knows what it has been sent twice
    id: str = key_column()
    notice_id: str = text_column()
    #: its name in the configuration
    receiver: str = text_column()
    phase: DeliveryPhase = enum_column(DeliveryPhase)
    #: the order in which a receiver gets them
    sequence: int = Field(sa_column=Column(Long, nullable=False))
    #: what is told, as a JSON object
    payload: str = text_column()
    created_at: datetime = time_column(null=False)
    #: how often it was sent, the attempt under way included
    attempts: int = 0
    next_attempt_at: datetime = time_column(null=False)
    delivered_at: datetime | None = time_column()
    dead_at: datetime | None = time_column()
    last_error: str | None = text_column(null=True)


class NotifierRow(SQLModel, table=True):
    """How far the notifier has come: one row."""

    __tablename__ = "notifier"

    id: int = Field(primary_key=True)
    #: of the change log; null before it has looked at anything
    position: int | None = long_column()
    #: counts its commits: who finds another number than it read has been overtaken
    turn: int = Field(sa_column=Column(Long, nullable=False))
    #: the newest delivery's
    sequence: int = Field(sa_column=Column(Long, nullable=False))
    #: of the lease under which notices are made and sent, see LeaseRow
    fence: int = Field(default=0, sa_column=Column(Long, nullable=False, server_default="0"))


NOTICES = NoticeRow.__table__  # type: ignore[attr-defined]
DELIVERIES = DeliveryRow.__table__  # type: ignore[attr-defined]
NOTIFIER = NotifierRow.__table__  # type: ignore[attr-defined]
