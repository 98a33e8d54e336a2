"""The tables of the workspace's database, ``<workspace>/records.sqlite`` or that of a server.

The tables change by migrations only (in the folder ``migrations``): after a change here, add one that
makes the same change to existing databases, and set :data:`HEAD`. A test compares the result of all
migrations with these tables.

Rows of images are not deleted as long as the model exists or can be restored: a removed image keeps its row
and loses its file. Versions, inspections and reviews are kept when their model is deleted: they name
it by its id, and say what can no longer be opened.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# The latest migration. It is repeated here so that opening a database needs no search through the migrations.
HEAD = "0004"

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

# The immutable versions of each model; their files are ``models/<model_id>/versions``.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("model_name", String, nullable=False),
    Column("number", Integer, nullable=False),
    # The seal of the model's manifest.
    Column("revision", String(64), nullable=False),
    Column("scoring_identity", String, nullable=False),
    Column("made", String, nullable=False),
    Column("who", String, nullable=False),
    # What made it, such as "fit", "exclusion" or "threshold", and the words of whoever made it.
    Column("cause", String, nullable=False),
    Column("reason", String, nullable=False),
    # What it changed of the version before, as a sentence.
    Column("changed", Text, nullable=False),
    Column("based_on", Integer),
    Column("state", String, nullable=False),
    Column("threshold", Float),
    Column("n_parts", Integer, nullable=False),
    # The expected false-reject rate and its upper bound at the threshold, as shares.
    Column("expected", Float),
    Column("upper", Float),
    Column("bytes", BigInteger, nullable=False),
    # When its files were deleted; the row stays.
    Column("pruned", String),
    UniqueConstraint("model_id", "number"),
    CheckConstraint("state in ('draft', 'approved', 'retired')", name="state"),
)

# What happened to versions; never changed.
VERSION_EVENTS = Table(
    "version_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version_id", Integer, ForeignKey("versions.id"), nullable=False),
    Column("at", String, nullable=False),
    Column("who", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("comment", String, nullable=False),
    CheckConstraint("kind in ('made', 'approved', 'retired', 'reopened', 'restored', 'pruned')", name="kind"),
    Index(None, "version_id"),
)

# One inspection of one image: what was decided, by which version, at which threshold. The columns from
# "waits" on follow from its reviews, and are kept here so that filters need no other table.
INSPECTIONS = Table(
    "inspections",
    METADATA,
    Column("id", Integer, primary_key=True),
    # Made by whoever records it, so that recording it once more changes nothing.
    Column("uid", String(32), nullable=False, unique=True),
    Column("model_id", String, nullable=False),
    Column("version_id", Integer, ForeignKey("versions.id")),
    Column("sha256", String(64), nullable=False),
    Column("name", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("taken", String),
    Column("judged", String, nullable=False),
    Column("who", String, nullable=False),
    Column("source", String, nullable=False),
    Column("part_number", String, nullable=False),
    Column("serial", String, nullable=False),
    Column("lot", String, nullable=False),
    Column("station", String, nullable=False),
    Column("shift", String, nullable=False),
    # In units of the anomaly map; the levels are those of the version's scale.
    Column("threshold", Float),
    Column("threshold_level", Integer),
    Column("review_above", Float),
    Column("reject_above", Float),
    Column("score", Float, nullable=False),
    Column("score_level", Integer, nullable=False),
    # What decides over the threshold, and its distance from 1: the orders of the queue.
    Column("severity", Float, nullable=False),
    Column("nearness", Float, nullable=False),
    Column("verdict", String, nullable=False),
    # JSON: phrases; regions in pixels of the image; sentences.
    Column("reasons", Text, nullable=False),
    Column("regions", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("in_fit", Boolean, nullable=False),
    # Of the image: mean brightness and sharpness of its small copy, and the part's displacement in pixels.
    Column("brightness", Float),
    Column("sharpness", Float),
    Column("shift_x", Float),
    Column("shift_y", Float),
    # Whether it was drawn at random from the accepted, and with which probability it could be.
    Column("audited", Boolean, nullable=False),
    Column("audit_probability", Float),
    Column("waits", Boolean, nullable=False),
    Column("decision", String),
    Column("decided_by", String),
    Column("decided_at", String),
    Column("defect_type", String, nullable=False),
    Column("second_decision", String),
    Column("second_by", String),
    Column("second_at", String),
    Column("second_type", String, nullable=False),
    Column("disagrees", Boolean, nullable=False),
    CheckConstraint("verdict in ('accept', 'review', 'reject', 'none')", name="verdict"),
    Index("ix_inspections_waits_severity", "waits", "severity", "id"),
    Index("ix_inspections_waits_nearness", "waits", "nearness", "id"),
    Index("ix_inspections_judged", "judged", "id"),
    Index("ix_inspections_severity", "severity", "id"),
    Index("ix_inspections_nearness", "nearness", "id"),
    Index("ix_inspections_model_id", "model_id", "id"),
    Index("ix_inspections_version_id", "version_id", "id"),
    Index("ix_inspections_sha256", "sha256"),
    Index("ix_inspections_serial", "serial"),
    Index("ix_inspections_lot", "lot", "id"),
    Index("ix_inspections_decision", "decision", "id"),
    Index("ix_inspections_disagrees", "disagrees", "id"),
    # All that lists are filtered and ordered by: where few rows are found, or none, reading this takes a
    # twentieth of the time that reading the rows would take.
    Index(
        "ix_inspections_filters",
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
    ),
)

# What an inspection is shown with: a small JPEG, and which files are kept in ``<workspace>/evidence``.
EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("inspection_id", Integer, ForeignKey("inspections.id"), primary_key=True),
    # Bytes of the level map and of the original image; None: not kept, or deleted since.
    Column("map_bytes", Integer),
    Column("original_bytes", Integer),
    # The folder of the original; empty: ``<workspace>/evidence/originals``.
    Column("original_folder", String, nullable=False),
    # Why the original is not there; empty if it is.
    Column("original_gone", String, nullable=False),
    # JSON: where the image lies in the map, which draws a level map on the image.
    Column("place", Text, nullable=False),
    # The last column, so that reading the others does not read it.
    Column("thumbnail", LargeBinary),
)

# What people said of inspections, in order; never changed: an undo is an event that names another.
REVIEWS = Table(
    "reviews",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("inspection_id", Integer, ForeignKey("inspections.id"), nullable=False),
    Column("at", String, nullable=False),
    Column("who", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("decision", String),
    Column("defect_type", String, nullable=False),
    Column("comment", Text, nullable=False),
    Column("second", Boolean, nullable=False),
    Column("undoes", Integer, ForeignKey("reviews.id")),
    CheckConstraint("kind in ('decision', 'comment', 'undo')", name="kind"),
    CheckConstraint("decision in ('accept', 'reject', 'unsure')", name="decision"),
    Index(None, "inspection_id"),
    Index("ix_reviews_at", "at"),
)

# Which model inspects which part number.
RECIPES = Table(
    "recipes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("part_number", String, nullable=False, unique=True),
    Column("model_id", String, nullable=False),
    Column("changed", String, nullable=False),
    Column("who", String, nullable=False),
)

# Recipes set and removed, and every switch to another part; never changed.
RECIPE_EVENTS = Table(
    "recipe_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("who", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("part_number", String, nullable=False),
    Column("model_id", String, nullable=False),
    Column("station", String, nullable=False),
    # How the part number was given: "typed", "file name", "shell".
    Column("how", String, nullable=False),
    CheckConstraint("kind in ('set', 'removed', 'switched', 'refused')", name="kind"),
)

# Settings that people make in the app, as JSON, of a model or (with an empty id) of the workspace.
SETTINGS = Table(
    "settings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("value", Text, nullable=False),
    Column("changed", String, nullable=False),
    Column("who", String, nullable=False),
    UniqueConstraint("model_id", "name"),
)

# Messages to sinks that have not been delivered yet; a delivered one is deleted. That of an inspection
# is written in the transaction that records it.
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    # Tells a receiver that a message comes a second time: the same for each attempt, another for each sink.
    Column("uid", String(32), nullable=False, unique=True),
    # The sink, by its name in the file of sinks.
    Column("sink", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("inspection_id", Integer, ForeignKey("inspections.id")),
    # JSON: what is sent, as it was when the message was written.
    Column("payload", Text, nullable=False),
    Column("created", String, nullable=False),
    # When the image came in, from which the time to its delivery is counted; for others as "created".
    Column("received", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Not tried before this time; none if it was refused for good, until a person has it tried again.
    Column("next_attempt", String),
    Column("error", Text, nullable=False),
    CheckConstraint("kind in ('inspection', 'alarm', 'test')", name="kind"),
    # Answers what is next for a sink, and how many wait, without reading the messages.
    Index("ix_outbox_sink", "sink", "id", "next_attempt"),
)

# What happened at each sink: one row, kept when its messages are deleted.
SINK_STATES = Table(
    "sink_states",
    METADATA,
    Column("sink", String, primary_key=True),
    Column("delivered", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("last_delivered", String),
    Column("last_failed", String),
    Column("last_error", Text, nullable=False),
    # Seconds from the image to its delivery: of all delivered inspections together, their number, the last.
    Column("latency_total", Float, nullable=False),
    Column("latency_count", Integer, nullable=False),
    Column("latency_last", Float),
)

# Watched folders that the app starts and shows, also those that a shell has started.
WATCHES = Table(
    "watches",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    # What inspects: the id of a model, a part number or the path of a model outside of the workspace.
    Column("target", String, nullable=False),
    Column("folder", Text, nullable=False),
    Column("output", Text, nullable=False),
    # JSON: the options of the command.
    Column("options", Text, nullable=False),
    # Whether it is to run; the process looks here, and in the app this starts one.
    Column("wanted", Boolean, nullable=False),
    Column("made", String, nullable=False),
    Column("who", String, nullable=False),
    # When it was taken off the list; its results stay.
    Column("removed", String),
)

# Keys of programs that use the service; only their hashes are kept.
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("made", String, nullable=False),
    Column("who", String, nullable=False),
    Column("revoked", String),
)

# The workspace that the database belongs to: one row.
WORKSPACE = Table("workspace", METADATA, Column("id", String(32), primary_key=True))
