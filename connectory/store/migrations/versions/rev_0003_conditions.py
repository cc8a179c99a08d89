"""What is judged: conditions that hold, and what past runs let expect."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
