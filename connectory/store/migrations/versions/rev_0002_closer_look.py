"""Jobs that have ended and still want the closer look at what failed in them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("examine_due", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["system_id"],
        sqlite_where=sa.text("examine_due"),
        postgresql_where=sa.text("examine_due"),
    )
