"""The tables of the workspace's database, ``<workspace>/records.sqlite``.

The tables change by migrations only (in the folder ``migrations``): after a change here, add one that
makes the same change to existing databases, and set :data:`HEAD`. A test compares the result of all
migrations with these tables.

Rows of images are not deleted as long as the model exists or can be restored, so that records of verdicts can
refer to them: a removed image keeps its row and loses its file.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

# The latest migration. It is repeated here so that opening a database needs no search through the migrations.
HEAD = "0001"

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The catalog of defect types of a model.
DEFECT_TYPES = Table(
    "defect_types",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("name", String, nullable=False),
    UniqueConstraint("model_id", "name"),
)

# Images of a model's library; their files are ``models/<model_id>/images/<sha256>``. Times are ISO 8601, UTC.
IMAGES = Table(
    "images",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("name", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("origin", String, nullable=False),
    Column("origin_name", String, nullable=False),
    Column("added", String, nullable=False),
    # None: in the library. A removed image keeps its file until "purged".
    Column("removed", String),
    Column("purged", String),
    UniqueConstraint("model_id", "sha256"),
)

# Masks of defects; their files lie beside the images.
MASKS = Table(
    "masks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("image_id", Integer, ForeignKey("images.id"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("name", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    UniqueConstraint("image_id", "sha256"),
)

# What users say about images, by content: also about images that are not in the library, such as good parts
# of a fit made elsewhere. "unknown" is a label that was taken away.
LABELS = Table(
    "labels",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("label", String, nullable=False),
    Column("defect_type_id", Integer, ForeignKey("defect_types.id")),
    Column("changed", String, nullable=False),
    UniqueConstraint("model_id", "sha256"),
    CheckConstraint("label in ('good', 'defect', 'unknown')", name="label"),
)

# One action of a user, which is undone as a whole.
CHANGES = Table(
    "changes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("made", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("undone", String),
    CheckConstraint("kind in ('label', 'remove')", name="kind"),
    Index(None, "model_id"),
)

# What an action changed of each image.
CHANGED_ITEMS = Table(
    "changed_items",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("change_id", Integer, ForeignKey("changes.id"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("label_before", String),
    Column("type_before", Integer, ForeignKey("defect_types.id")),
    Column("label_after", String),
    Column("type_after", Integer, ForeignKey("defect_types.id")),
    Index(None, "change_id"),
)
