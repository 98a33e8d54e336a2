"""What users say about a model's images, by content: good, defect of a type, or unknown.

One table has all labels, wherever they were given: by key, at upload, by excluding a good part. They apply to
every copy of the image, in the library or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, func, insert, select, update

from padim.errors import PadimError
from padim.records.portable import insert_or
from padim.records.portable import listed as listed
from padim.records.schema import DEFECT_TYPES, LABELS

ImageLabel = Literal["good", "defect", "unknown"]
# Where versions before the database stored labels; it is still read, and never written.
FORMER_FILE = "labels.json"
LONGEST_TYPE = 60


@dataclass(frozen=True)
class LabelValue:
    """A label with the id of its type of defect.

    Attributes:
        label: "good", "defect" or "unknown".
        type_id: row of the type of defect; None for others, and for a defect of no type.
    """

    label: ImageLabel = "unknown"
    type_id: int | None = None


UNKNOWN = LabelValue()


def former_labels(model_folder: Path) -> dict[str, ImageLabel]:
    """Return the labels that an earlier version stored in the model's folder; none if they are damaged."""
    # Labels are optional: a file that cannot be read must not prevent calibration.
    try:
        found = json.loads((model_folder / FORMER_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {sha256: label for sha256, label in found.items() if label in ("good", "defect")}


def take_over_former(connection: Connection, model_id: str, model_folder: Path, now: str) -> None:
    """Enter an earlier version's labels, except those of images that have been labeled since."""
    rows = [
        {"model_id": model_id, "sha256": sha256, "label": label, "changed": now}
        for sha256, label in former_labels(model_folder).items()
    ]
    if rows:
        connection.execute(insert_or(connection, LABELS).on_conflict_do_nothing(), rows)


def stored(
    connection: Connection, model_id: str, sha256s: Iterable[str] | None = None
) -> dict[str, LabelValue]:
    """Return the labels in the database, by SHA-256; those taken away are "unknown".

    Args:
        connection: a connection.
        model_id: the model.
        sha256s: only these images; default: all.
    """
    query = select(LABELS.c.sha256, LABELS.c.label, LABELS.c.defect_type_id).where(
        LABELS.c.model_id == model_id
    )
    if sha256s is not None:
        query = query.where(LABELS.c.sha256.in_(listed(sha256s)))
    return {row.sha256: LabelValue(row.label, row.defect_type_id) for row in connection.execute(query)}


def write(connection: Connection, model_id: str, values: Mapping[str, LabelValue], now: str) -> None:
    """Set the labels of images, by SHA-256."""
    rows = [
        {
            "model_id": model_id,
            "sha256": sha256,
            "label": value.label,
            "defect_type_id": value.type_id,
            "changed": now,
        }
        for sha256, value in values.items()
    ]
    if not rows:
        return
    statement = insert_or(connection, LABELS)
    statement = statement.on_conflict_do_update(
        index_elements=[LABELS.c.model_id, LABELS.c.sha256],
        set_={
            "label": statement.excluded.label,
            "defect_type_id": statement.excluded.defect_type_id,
            "changed": statement.excluded.changed,
        },
    )
    connection.execute(statement, rows)


# -- the catalog of defect types -------------------------------------------------------------------------


def type_names(connection: Connection, model_id: str) -> dict[int, str]:
    """Return the names in a model's catalog of defect types, by id."""
    query = select(DEFECT_TYPES.c.id, DEFECT_TYPES.c.name).where(DEFECT_TYPES.c.model_id == model_id)
    return {row.id: row.name for row in connection.execute(query)}


def type_of(connection: Connection, model_id: str, name: str | None) -> int | None:
    """Return the id of a type of defect, which is added to the catalog if it is not there.

    Raises:
        PadimError: the name is too long, or the one of good parts.
    """
    name = " ".join((name or "").split())
    if not name:
        return None
    if len(name) > LONGEST_TYPE or name.casefold() in ("good", "unknown"):
        raise PadimError(
            f"“{name[:LONGEST_TYPE]}”: a type of defect has a name of 1 to {LONGEST_TYPE} characters "
            "other than “good” and “unknown”"
        )
    for type_id, known in type_names(connection, model_id).items():
        if known.casefold() == name.casefold():
            return type_id
    done = connection.execute(insert(DEFECT_TYPES).values(model_id=model_id, name=name))
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def rename_type(connection: Connection, model_id: str, name: str, new: str) -> None:
    """Rename a type of defect, for all images that have it.

    Raises:
        PadimError: there is no such type, or the new name is taken or not usable.
    """
    known = {name.casefold(): type_id for type_id, name in type_names(connection, model_id).items()}
    type_id = known.get(name.casefold())
    if type_id is None:
        raise PadimError(f"there is no type of defect “{name}”")
    new = " ".join(new.split())
    if known.get(new.casefold(), type_id) != type_id:
        raise PadimError(f"there is a type of defect “{new}” already")
    if not new or len(new) > LONGEST_TYPE:
        raise PadimError(f"a type of defect has a name of 1 to {LONGEST_TYPE} characters")
    connection.execute(update(DEFECT_TYPES).where(DEFECT_TYPES.c.id == type_id).values(name=new))


def number_by_type(connection: Connection, model_id: str) -> dict[int, int]:
    """Return how many images have each type of defect, by its id."""
    query = (
        select(LABELS.c.defect_type_id, func.count())
        .where(LABELS.c.model_id == model_id, LABELS.c.defect_type_id.is_not(None))
        .group_by(LABELS.c.defect_type_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
