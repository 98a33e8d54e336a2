"""Messages to sinks, watched folders and keys of the service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("inspection_id", sa.Integer()),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("received", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt", sa.String()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspections.id"], name="fk_outbox_inspection_id_inspections"
        ),
        sa.UniqueConstraint("uid", name="uq_outbox_uid"),
        sa.CheckConstraint("kind in ('inspection', 'alarm', 'test')", name="ck_outbox_kind"),
    )
    op.create_index("ix_outbox_sink", "outbox", ["sink", "id", "next_attempt"])
    op.create_table(
        "sink_states",
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("last_delivered", sa.String()),
        sa.Column("last_failed", sa.String()),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("latency_total", sa.Float(), nullable=False),
        sa.Column("latency_count", sa.Integer(), nullable=False),
        sa.Column("latency_last", sa.Float()),
        sa.PrimaryKeyConstraint("sink", name="pk_sink_states"),
    )
    op.create_table(
        "watches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("removed", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_watches"),
        sa.UniqueConstraint("uid", name="uq_watches_uid"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("revoked", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("name", name="uq_api_keys_name"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("api_keys", "watches", "sink_states", "outbox"):
        op.drop_table(name)
