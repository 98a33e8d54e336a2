"""Entering new images into a library: in batches, each of which is stored as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import Connection, select

from padim.data.decode import sha256
from padim.records import changes, labels
from padim.records.image_records import ImageOrigin, NewImage
from padim.records.labels import LabelValue
from padim.records.portable import insert_or
from padim.records.schema import IMAGES, MASKS

# Images that one transaction adds, and bytes that one batch may hold in memory.
_BATCH, _BATCH_BYTES = 32, 64 * 2**20
# An image with the SHA-256 of its file.
Digested = tuple[str, NewImage]


def contents(taken: Iterable[Digested]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of images and of their masks, by SHA-256."""
    for digest, one in taken:
        yield digest, one.data
        for _, data in one.masks:
            yield sha256(data), data


def batches(images: Iterable[NewImage], cancel: Callable[[], bool]) -> Iterator[list[NewImage]]:
    """Yield the images in batches of bounded number and size, until ``cancel`` returns True."""
    batch: list[NewImage] = []
    size = 0
    for one in images:
        batch.append(one)
        size += len(one.data)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        if cancel():
            break
    if batch:
        yield batch


def enter(
    connection: Connection,
    model_id: str,
    taken: Sequence[Digested],
    origin: ImageOrigin,
    origin_name: str,
    now: str,
    *,
    relabel: bool,
) -> None:
    """Write the rows of images whose files have been written.

    Args:
        connection: a connection that writes.
        model_id: the model.
        taken: the images.
        origin: the way they came in.
        origin_name: the user's name of the folder, zip or data set.
        now: the time.
        relabel: whether a label given with an image replaces the one that it has.
    """
    statement = insert_or(connection, IMAGES)
    # An image that was removed comes back under its former number, as the image it is given as now.
    statement = statement.on_conflict_do_update(
        index_elements=[IMAGES.c.model_id, IMAGES.c.sha256],
        set_={
            **{name: statement.excluded[name] for name in ("name", "origin", "origin_name", "added")},
            "removed": None,
            "purged": None,
        },
        where=IMAGES.c.removed.is_not(None),
    )
    for_all = {"model_id": model_id, "origin": origin, "origin_name": origin_name, "added": now}
    rows = [{**for_all, "sha256": sha, "name": one.name, "bytes": len(one.data)} for sha, one in taken]
    if not rows:
        return
    connection.execute(statement, rows)
    _enter_masks(connection, model_id, taken)
    wanted: dict[str, LabelValue] = {}
    for digest, one in taken:
        if one.label != "unknown":
            type_id = None
            if one.label == "defect":
                type_id = labels.type_of(connection, model_id, one.defect_type)
            wanted[digest] = LabelValue(one.label, type_id)
    present = labels.stored(connection, model_id, wanted)
    first = {sha: value for sha, value in wanted.items() if sha not in present}
    labels.write(connection, model_id, first, now)
    if relabel:
        changes.relabel(
            connection, model_id, {sha: value for sha, value in wanted.items() if sha in present}, now
        )


def _enter_masks(connection: Connection, model_id: str, taken: Sequence[Digested]) -> None:
    with_masks = [(digest, one) for digest, one in taken if one.masks]
    if not with_masks:
        return
    query = select(IMAGES.c.sha256, IMAGES.c.id).where(
        IMAGES.c.model_id == model_id,
        IMAGES.c.sha256.in_(labels.listed(digest for digest, _ in with_masks)),
    )
    ids = {row.sha256: row.id for row in connection.execute(query)}
    rows = [
        {"image_id": ids[digest], "sha256": sha256(data), "name": name, "bytes": len(data)}
        for digest, one in with_masks
        for name, data in one.masks
    ]
    connection.execute(insert_or(connection, MASKS).on_conflict_do_nothing(), rows)
