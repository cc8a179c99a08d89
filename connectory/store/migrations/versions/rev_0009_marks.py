"""The store gets an id, rows of the log a mark, and the newest that retention has removed is kept in mind."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # rows without a mark are told apart from others' by the store's id, which is drawn after them
    for table in ("events", "log_head", "notices"):
        op.add_column(table, sa.Column("mark", sa.Integer(), nullable=True))
    op.create_table(
        "log_start",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("store", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Integer(), nullable=True),
    )
    store, before_the_oldest = 1 + secrets.randbelow(2**31 - 1), "(SELECT MIN(position) - 1 FROM events)"
    op.execute(
        "INSERT INTO log_start (id, store, position) "
        f"SELECT 1, {store}, COALESCE({before_the_oldest}, position) FROM log_head"
    )
