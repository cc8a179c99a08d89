"""What is judged: conditions that hold, and what past runs let expect."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "conditions",
        sa.Column("subject_id", NAME, primary_key=True, nullable=False),
        sa.Column("code", sa.SmallInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("connector_id", NAME, nullable=False),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("message", NAME, nullable=False),
        sa.Column("evidence", NAME, nullable=False),
    )
    op.create_index("ix_conditions_connector", "conditions", ["connector_id", "code"])
    op.create_index("ix_conditions_job", "conditions", ["job_id", "code"])
    op.create_index("ix_conditions_system", "conditions", ["system_id"])
    op.add_column("connectors", sa.Column("status_since", INSTANT, nullable=True))
    op.add_column("connectors", sa.Column("blocks_since", INSTANT, nullable=True))
    op.add_column("jobs", sa.Column("rate_per_second", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("counted_at", INSTANT, nullable=True))
    op.add_column("jobs", sa.Column("expected_seconds", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("expected_processed", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("expected_runs", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("longest_quiet", sa.Float(), nullable=True))
