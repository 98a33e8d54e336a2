"""The first tables: images with their masks, labels, types of defects, and changes that can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "defect_types",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_defect_types"),
        sa.UniqueConstraint("model_id", "name", name="uq_defect_types_model_id"),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("origin_name", sa.String(), nullable=False),
        sa.Column("added", sa.String(), nullable=False),
        sa.Column("removed", sa.String()),
        sa.Column("purged", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("model_id", "sha256", name="uq_images_model_id"),
    )
    op.create_table(
        "masks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_masks"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_masks_image_id_images"),
        sa.UniqueConstraint("image_id", "sha256", name="uq_masks_image_id"),
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("defect_type_id", sa.Integer()),
        sa.Column("changed", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_labels"),
        sa.ForeignKeyConstraint(
            ["defect_type_id"], ["defect_types.id"], name="fk_labels_defect_type_id_defect_types"
        ),
        sa.UniqueConstraint("model_id", "sha256", name="uq_labels_model_id"),
        sa.CheckConstraint("label in ('good', 'defect', 'unknown')", name="ck_labels_label"),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("undone", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sa.CheckConstraint("kind in ('label', 'remove')", name="ck_changes_kind"),
    )
    op.create_index("ix_changes_model_id", "changes", ["model_id"])
    op.create_table(
        "changed_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("label_before", sa.String()),
        sa.Column("type_before", sa.Integer()),
        sa.Column("label_after", sa.String()),
        sa.Column("type_after", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_changed_items"),
        sa.ForeignKeyConstraint(["change_id"], ["changes.id"], name="fk_changed_items_change_id_changes"),
        sa.ForeignKeyConstraint(
            ["type_before"], ["defect_types.id"], name="fk_changed_items_type_before_defect_types"
        ),
        sa.ForeignKeyConstraint(
            ["type_after"], ["defect_types.id"], name="fk_changed_items_type_after_defect_types"
        ),
    )
    op.create_index("ix_changed_items_change_id", "changed_items", ["change_id"])


def downgrade() -> None:
    """Drop the tables."""
    for name in ("changed_items", "changes", "labels", "masks", "images", "defect_types"):
        op.drop_table(name)
