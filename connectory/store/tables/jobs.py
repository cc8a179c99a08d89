"""Jobs, with what hangs on them and what is left of those that retention has removed.

The columns of a job are those of ``connectory.model.fields``.
"""

from datetime import datetime

from sqlalchemy import Column, Index, text
from sqlmodel import Field, SQLModel

from connectory.model.fields import JOB_FIELDS
from connectory.store.tables.columns import Long, key_column, long_column, model, text_column, time_column

#: One run.
JobRow = model(
    "JobRow",
    "jobs",
    JOB_FIELDS,
    Index("ix_jobs_connector", "connector_id", "created_order", "id"),
    Index("ix_jobs_order", "created_order", "id"),
    Index("ix_jobs_system", "system_id", "created_order", "id"),
    Index("ix_jobs_sequence", "system_id", "sequence"),
    Index("ix_jobs_started", "started_at", "id"),
    Index("ix_jobs_completed", "completed_at", "id"),
    Index("ix_jobs_status", "status", "id"),
    Index("ix_jobs_indexed", "indexed", "id"),
    Index("ix_jobs_source", "source"),
    Index("ix_jobs_type", "type"),
    Index("ix_jobs_trigger", "trigger"),
    Index("ix_jobs_due", "system_id", sqlite_where=text("examine_due"), postgresql_where=text("examine_due")),
    Index("ix_jobs_open", "system_id", "external_id", sqlite_where=text("is_open"), postgresql_where=text("is_open")),
)


class JobErrorRow(SQLModel, table=True):
    """One document of a job that failed; ``position`` is its place in the upstream's own order."""

    __tablename__ = "job_errors"

    job_id: str = key_column()
    position: int = Field(sa_column=Column(Long, primary_key=True, autoincrement=False))
    document_id: str | None = text_column(null=True)
    url: str | None = text_column(null=True)
    message: str = text_column()
    at: datetime | None = time_column()
    is_resolved: bool | None = None


class JobSegmentRow(SQLModel, table=True):
    """What a job had done before its upstream resumed it and counted anew."""

    __tablename__ = "job_stretches"

    job_id: str = key_column()
    #: from 1, in the order of time
    number: int = Field(primary_key=True)
    started_at: datetime | None = time_column()
    #: when it was last seen at work
    ended_at: datetime | None = time_column()
    processed: int | None = long_column()
    #: the counts that were told, as a JSON object
    counts: str = text_column()


class JobFloorRow(SQLModel, table=True):
    """Up to where retention has removed a connector's jobs: what its upstream tells of them later is not wanted. Jobs
    without a connector stand under their system's id."""

    __tablename__ = "job_floors"

    connector_id: str = key_column()
    #: of the newest job that was removed
    created_order: int = Field(sa_column=Column(Long, nullable=False))
    #: the latest end of a job that was removed; null where none was told, or none was removed since version 0006
    ended_at: datetime | None = time_column()


JOBS = JobRow.__table__  # type: ignore[attr-defined]
JOB_ERRORS = JobErrorRow.__table__  # type: ignore[attr-defined]
JOB_SEGMENTS = JobSegmentRow.__table__  # type: ignore[attr-defined]
JOB_FLOORS = JobFloorRow.__table__  # type: ignore[attr-defined]
