"""An index of all that lists of inspections are filtered and ordered by."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_inspections_filters",
        "inspections",
        [
            "judged",
            "severity",
            "nearness",
            "model_id",
            "version_id",
            "verdict",
            "waits",
            "audited",
            "decision",
            "decided_by",
            "disagrees",
            "defect_type",
            "second_decision",
            "part_number",
            "serial",
            "lot",
            "station",
            "shift",
            "who",
            "name",
        ],
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_inspections_filters", "inspections")
