"""Versions of models, inspections with their reviews, part numbers and settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("scoring_identity", sa.String(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("based_on", sa.Integer()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("threshold", sa.Float()),
        sa.Column("n_parts", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Float()),
        sa.Column("upper", sa.Float()),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("pruned", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id"),
        sa.CheckConstraint("state in ('draft', 'approved', 'retired')", name="ck_versions_state"),
    )
    op.create_table(
        "version_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_version_events"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_events_version_id_versions"
        ),
        sa.CheckConstraint(
            "kind in ('made', 'approved', 'retired', 'reopened', 'restored', 'pruned')",
            name="ck_version_events_kind",
        ),
    )
    op.create_index("ix_version_events_version_id", "version_events", ["version_id"])
    op.create_table(
        "inspections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.Integer()),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("taken", sa.String()),
        sa.Column("judged", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("part_number", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("lot", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("shift", sa.String(), nullable=False),
        sa.Column("threshold", sa.Float()),
        sa.Column("threshold_level", sa.Integer()),
        sa.Column("review_above", sa.Float()),
        sa.Column("reject_above", sa.Float()),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("score_level", sa.Integer(), nullable=False),
        sa.Column("severity", sa.Float(), nullable=False),
        sa.Column("nearness", sa.Float(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("in_fit", sa.Boolean(), nullable=False),
        sa.Column("brightness", sa.Float()),
        sa.Column("sharpness", sa.Float()),
        sa.Column("shift_x", sa.Float()),
        sa.Column("shift_y", sa.Float()),
        sa.Column("audited", sa.Boolean(), nullable=False),
        sa.Column("audit_probability", sa.Float()),
        sa.Column("waits", sa.Boolean(), nullable=False),
        sa.Column("decision", sa.String()),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", sa.String()),
        sa.Column("defect_type", sa.String(), nullable=False),
        sa.Column("second_decision", sa.String()),
        sa.Column("second_by", sa.String()),
        sa.Column("second_at", sa.String()),
        sa.Column("second_type", sa.String(), nullable=False),
        sa.Column("disagrees", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inspections"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_inspections_version_id_versions"),
        sa.UniqueConstraint("uid", name="uq_inspections_uid"),
        sa.CheckConstraint(
            "verdict in ('accept', 'review', 'reject', 'none')", name="ck_inspections_verdict"
        ),
    )
    op.create_index("ix_inspections_decision", "inspections", ["decision", "id"])
    op.create_index("ix_inspections_disagrees", "inspections", ["disagrees", "id"])
    op.create_index("ix_inspections_judged", "inspections", ["judged", "id"])
    op.create_index("ix_inspections_lot", "inspections", ["lot", "id"])
    op.create_index("ix_inspections_model_id", "inspections", ["model_id", "id"])
    op.create_index("ix_inspections_nearness", "inspections", ["nearness", "id"])
    op.create_index("ix_inspections_serial", "inspections", ["serial"])
    op.create_index("ix_inspections_severity", "inspections", ["severity", "id"])
    op.create_index("ix_inspections_sha256", "inspections", ["sha256"])
    op.create_index("ix_inspections_version_id", "inspections", ["version_id", "id"])
    op.create_index("ix_inspections_waits_nearness", "inspections", ["waits", "nearness", "id"])
    op.create_index("ix_inspections_waits_severity", "inspections", ["waits", "severity", "id"])
    op.create_table(
        "evidence",
        sa.Column("inspection_id", sa.Integer(), nullable=False),
        sa.Column("map_bytes", sa.Integer()),
        sa.Column("original_bytes", sa.Integer()),
        sa.Column("original_folder", sa.String(), nullable=False),
        sa.Column("original_gone", sa.String(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("thumbnail", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("inspection_id", name="pk_evidence"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspections.id"], name="fk_evidence_inspection_id_inspections"
        ),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("inspection_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("decision", sa.String()),
        sa.Column("defect_type", sa.String(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("second", sa.Boolean(), nullable=False),
        sa.Column("undoes", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspections.id"], name="fk_reviews_inspection_id_inspections"
        ),
        sa.ForeignKeyConstraint(["undoes"], ["reviews.id"], name="fk_reviews_undoes_reviews"),
        sa.UniqueConstraint("uid", name="uq_reviews_uid"),
        sa.CheckConstraint("decision in ('accept', 'reject', 'unsure')", name="ck_reviews_decision"),
        sa.CheckConstraint("kind in ('decision', 'comment', 'undo')", name="ck_reviews_kind"),
    )
    op.create_index("ix_reviews_at", "reviews", ["at"])
    op.create_index("ix_reviews_inspection_id", "reviews", ["inspection_id"])
    op.create_table(
        "recipes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("part_number", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("changed", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipes"),
        sa.UniqueConstraint("part_number", name="uq_recipes_part_number"),
    )
    op.create_table(
        "recipe_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("part_number", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipe_events"),
        sa.CheckConstraint("kind in ('set', 'removed', 'switched', 'refused')", name="ck_recipe_events_kind"),
    )
    op.create_table(
        "settings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("changed", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_settings"),
        sa.UniqueConstraint("model_id", "name", name="uq_settings_model_id"),
    )
    op.create_table(
        "workspace",
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workspace"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "workspace",
        "settings",
        "recipe_events",
        "recipes",
        "reviews",
        "evidence",
        "inspections",
        "version_events",
        "versions",
    ):
        op.drop_table(name)
