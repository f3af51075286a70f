"""Whom the database has forgotten, as keyed hashes, and the key."""

import secrets as random_bytes

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and a key that this database alone has."""
    op.create_table(
        "forgotten",
        sa.Column("user_hash", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_hash", name="pk_forgotten"),
    )
    keys = op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.bulk_insert(keys, [{"name": "forgotten", "value": random_bytes.token_bytes(32)}])
