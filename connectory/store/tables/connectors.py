"""Connectors, and the conditions that they and their open jobs show.

The columns of a connector are those of ``connectory.model.fields``.
"""

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field, SQLModel

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
)
from connectory.model.fields import CONNECTOR_FIELDS
from connectory.store.tables.columns import Ranked, enum_column, key_column, model, text_column, time_column

#: What reads one content source into an upstream.
ConnectorRow = model(
    "ConnectorRow",
    "connectors",
    CONNECTOR_FIELDS,
    Index("ix_connectors_system", "system_id", "external_id", unique=True),
    Index("ix_connectors_name", "name_key", "id"),
    Index("ix_connectors_source", "source", "id"),
    Index("ix_connectors_status", "status", "id"),
    Index("ix_connectors_health", "health", "id"),
    Index("ix_connectors_docs", "docs_indexed", "id"),
    Index("ix_connectors_success", "last_success_at", "id"),
    Index("ix_connectors_last_job", "last_job_status"),
    Index("ix_connectors_mode", "mode"),
    Index("ix_connectors_access", "access_type"),
    Index("ix_connectors_progress", "in_progress"),
    Index("ix_connectors_removed", "removed_at"),
)


class ConditionRow(SQLModel, table=True):
    """A condition that holds now, as the engine judged it; STALE and SYSTEM_DOWN are joined when read."""

    __tablename__ = "conditions"
    __table_args__ = (
        Index("ix_conditions_connector", "connector_id", "code"),
        Index("ix_conditions_job", "job_id", "code"),
        Index("ix_conditions_system", "system_id"),
    )

    #: global id of the job, else of the connector, that it is about
    subject_id: str = key_column()
    code: ConditionCode = Field(sa_column=Column(Ranked(ConditionCode), primary_key=True, autoincrement=False))
    system_id: str = text_column()
    connector_id: str = text_column()
    #: null for what is about the connector itself
    job_id: str | None = text_column(null=True)
    severity: ConditionSeverity = enum_column(ConditionSeverity)
    since: datetime = time_column(null=False)
    message: str = text_column()
    evidence: str = text_column()


CONNECTORS = ConnectorRow.__table__  # type: ignore[attr-defined]
CONDITIONS = ConditionRow.__table__  # type: ignore[attr-defined]
