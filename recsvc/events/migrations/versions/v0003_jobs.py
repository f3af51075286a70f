"""Jobs: what has been asked for, what runs, and what came of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and the indexes that let one job of a kind be live and one of a lane run."""
    op.create_table(
        "jobs",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("alone", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger()),
        sa.Column("delivered", sa.BigInteger()),
        sa.Column("started", sa.BigInteger()),
        sa.Column("finished", sa.BigInteger()),
        sa.Column("heartbeat", sa.BigInteger()),
        sa.Column("owner", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("progress_done", sa.Integer()),
        sa.Column("progress_total", sa.Integer()),
        sa.Column("progress_text", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("result", sa.JSON().with_variant(JSONB(), "postgresql")),
        sa.Column("log", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sa.UniqueConstraint("idempotency_key", name="uq_jobs_idempotency_key"),
        sa.UniqueConstraint("kind", "due", name="uq_jobs_kind"),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "sequence"])
    _create_unique_index("jobs_live_alone", "alone", sa.column("state").in_(["queued", "running"]))
    _create_unique_index("jobs_running", "lane", sa.column("state") == "running")


def _create_unique_index(name: str, column: str, where: sa.ColumnElement[bool]) -> None:
    op.create_index(name, "jobs", [column], unique=True, postgresql_where=where, sqlite_where=where)
