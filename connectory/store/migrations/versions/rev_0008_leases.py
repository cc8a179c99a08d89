"""Who polls a system or sends notices, and until when; and the fences that keep everybody else from writing."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", NAME, primary_key=True, nullable=False),
        sa.Column("holder", NAME, nullable=True),
        sa.Column("host", NAME, nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("birth", NAME, nullable=False),
        sa.Column("backend", sa.BigInteger(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("renewed_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
    )
    for guarded in ("systems", "notifier"):
        op.add_column(guarded, sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"))
