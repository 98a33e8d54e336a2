"""Images of a library as the database has them: which there are, and how they are found."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from padim.data.layouts import DEFECT, GOOD
from padim.records import labels
from padim.records.labels import ImageLabel
from padim.records.schema import DEFECT_TYPES, IMAGES, LABELS, MASKS

ImageOrigin = Literal["files", "folder", "zip", "dataset", "fit", "inspect"]


@dataclass(frozen=True)
class NewImage:
    """An image to be added.

    Attributes:
        name: the file's name as the user knows it.
        data: the file's bytes.
        label: what the image shows.
        defect_type: the type of defect, added to the catalog if it is not there; empty if not known.
        masks: name and bytes of each mask of its defects.
    """

    name: str
    data: bytes = field(repr=False)
    label: ImageLabel = "unknown"
    defect_type: str = ""
    masks: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LibraryMask:
    """A mask of an image's defects: name, SHA-256 and size of its file in bytes."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class LibraryImage:
    """An image of the library.

    Attributes:
        id: its row, which stays the same and to which other records may refer.
        name: the file's name as the user knows it; not unique.
        sha256: hex SHA-256 of the file's bytes; unique in the library.
        bytes: size of the file.
        label: "good", "defect" or "unknown".
        defect_type: the type of defect; empty if not known, and for others.
        origin: the way it came in.
        origin_name: the user's name of the folder, zip or data set it came from; empty if there is none.
        added: when it came in, UTC.
        path: its file.
        masks: the masks of its defects.
    """

    id: int
    name: str
    sha256: str
    bytes: int
    label: ImageLabel
    defect_type: str
    origin: ImageOrigin
    origin_name: str
    added: datetime
    path: Path
    masks: tuple[LibraryMask, ...] = ()

    @property
    def kind(self) -> str:
        """``good``, or the type of defect; a defect of no type is a ``defect``."""
        return GOOD if self.label == "good" else self.defect_type or DEFECT


@dataclass(frozen=True)
class ImageQuery:
    """Which images of a library are asked for; all of them by default.

    Attributes:
        labels: only images with one of these labels.
        defect_type: only defects of this type; "" for those of no type.
        origin: only images that came in this way.
        contains: only images with this text in their name or the name of their origin, in any case.
        only: only images with one of these SHA-256.
        without: no images with one of these SHA-256.
    """

    labels: Collection[ImageLabel] | None = None
    defect_type: str | None = None
    origin: ImageOrigin | None = None
    contains: str = ""
    only: Collection[str] | None = None
    without: Collection[str] = ()


def find(
    connection: Connection,
    model_id: str,
    folder: Path,
    query: ImageQuery | None = None,
    *,
    offset: int = 0,
    number: int | None = None,
    newest_first: bool = False,
) -> list[LibraryImage]:
    """Return images in the order in which they were added.

    Args:
        connection: a connection.
        model_id: the model.
        folder: the folder of its images' files.
        query: which images; default: all.
        offset: how many to leave out at the beginning.
        number: the largest number to return; default: all.
        newest_first: reverse the order.
    """
    order = IMAGES.c.id.desc() if newest_first else IMAGES.c.id
    asked = _joined().where(*_conditions(model_id, query)).order_by(order)
    found = connection.execute(asked.offset(offset).limit(number)).all()
    masks: dict[int, list[LibraryMask]] = {}
    of_these = MASKS.c.image_id.in_(labels.listed(row.id for row in found))
    for row in connection.execute(select(MASKS).where(of_these).order_by(MASKS.c.id)):
        masks.setdefault(row.image_id, []).append(LibraryMask(row.name, row.sha256, row.bytes))
    return [
        LibraryImage(
            row.id,
            row.name,
            row.sha256,
            row.bytes,
            row.label or "unknown",
            row.type_name or "",
            row.origin,
            row.origin_name,
            datetime.fromisoformat(row.added),
            folder / row.sha256,
            tuple(masks.get(row.id, ())),
        )
        for row in found
    ]


def count_by_label(
    connection: Connection, model_id: str, query: ImageQuery | None = None
) -> dict[ImageLabel, int]:
    """Return the number of images by label."""
    joined = _joined().where(*_conditions(model_id, query)).subquery()
    label = func.coalesce(joined.c.label, "unknown")
    found: dict[ImageLabel, int] = {"good": 0, "defect": 0, "unknown": 0}
    for name, number in connection.execute(select(label, func.count()).group_by(label)):
        found[name] = number
    return found


def there(connection: Connection, model_id: str, digests: Iterable[str]) -> set[str]:
    """Return those of the SHA-256 whose images are in the library."""
    query = select(IMAGES.c.sha256).where(
        IMAGES.c.model_id == model_id,
        IMAGES.c.removed.is_(None),
        IMAGES.c.sha256.in_(labels.listed(digests)),
    )
    return set(connection.execute(query).scalars())


def size(connection: Connection, model_id: str, *, removed: bool) -> int:
    """Return the size of all files in bytes, with or without those of removed images that can be restored."""
    kept = and_(
        IMAGES.c.model_id == model_id,
        IMAGES.c.purged.is_(None) if removed else IMAGES.c.removed.is_(None),
    )
    of_images = connection.execute(select(func.sum(IMAGES.c.bytes)).where(kept)).scalar() or 0
    masks = select(MASKS.c.sha256, MASKS.c.bytes).join(IMAGES).where(kept).distinct().subquery()
    return int(of_images) + int(connection.execute(select(func.sum(masks.c.bytes))).scalar() or 0)


def files(connection: Connection, model_id: str) -> set[str]:
    """Return the SHA-256 of all files of images and masks that are kept."""
    kept = and_(IMAGES.c.model_id == model_id, IMAGES.c.purged.is_(None))
    images = connection.execute(select(IMAGES.c.sha256).where(kept)).scalars()
    masks = connection.execute(select(MASKS.c.sha256).join(IMAGES).where(kept)).scalars()
    return {*images, *masks}


def _conditions(model_id: str, query: ImageQuery | None) -> list[ColumnElement[bool]]:
    query = query or ImageQuery()
    found: list[ColumnElement[bool]] = [IMAGES.c.model_id == model_id, IMAGES.c.removed.is_(None)]
    if query.labels is not None:
        found.append(func.coalesce(LABELS.c.label, "unknown").in_(list(query.labels)))
    if query.defect_type is not None:
        found += [LABELS.c.label == "defect", func.coalesce(DEFECT_TYPES.c.name, "") == query.defect_type]
    if query.origin is not None:
        found.append(IMAGES.c.origin == query.origin)
    if query.contains:
        pattern = [IMAGES.c.name, IMAGES.c.origin_name]
        found.append(or_(*(column.icontains(query.contains, autoescape=True) for column in pattern)))
    for name, values in (("only", query.only), ("without", query.without)):
        if values or (name == "only" and values is not None):
            chosen = IMAGES.c.sha256.in_(labels.listed(values, name))
            found.append(chosen if name == "only" else ~chosen)
    return found


def _joined() -> Select[Any]:
    tables = IMAGES.outerjoin(
        LABELS, and_(LABELS.c.model_id == IMAGES.c.model_id, LABELS.c.sha256 == IMAGES.c.sha256)
    ).outerjoin(DEFECT_TYPES, DEFECT_TYPES.c.id == LABELS.c.defect_type_id)
    return select(IMAGES, LABELS.c.label, DEFECT_TYPES.c.name.label("type_name")).select_from(tables)
