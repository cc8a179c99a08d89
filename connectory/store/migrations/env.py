"""Alembic's entry: it runs on the connection that ``connectory.store.migrations.upgrading`` hands over."""

from alembic import context
from sqlmodel import SQLModel

import connectory.store.tables  # noqa: F401  # fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
