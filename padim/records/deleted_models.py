"""Models in the bin: removed for good, their rows of the workspace's database go with their files.

The bin itself knows only folders (:mod:`padim.storage.bin`); rows of a model stay while it can be restored.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select, union

from padim.records.database import RecordsDatabase
from padim.records.schema import CHANGED_ITEMS, CHANGES, DEFECT_TYPES, IMAGES, LABELS, MASKS
from padim.storage import bin as model_bin
from padim.storage.bin import DeletedModel
from padim.storage.model_folders import PATIENCE, ModelFolders

__all__ = ["forget_missing", "remove", "sweep"]

_OF_MODEL = (IMAGES, LABELS, CHANGES, DEFECT_TYPES)


def remove(models: ModelFolders, deleted: DeletedModel, patience: float = PATIENCE) -> None:
    """Remove a model in the bin for good, with its rows.

    Raises:
        StorageError: the workspace is read-only.
    """
    model_bin.remove(models, deleted, patience)
    forget_missing(models)


def sweep(models: ModelFolders, now: datetime | None = None) -> list[DeletedModel]:
    """Remove the models whose time in the bin is over, with their rows; return them.

    Raises:
        StorageError: the workspace is read-only.
    """
    gone = model_bin.sweep(models, now)
    if gone:
        forget_missing(models)
    return gone


def forget_missing(models: ModelFolders) -> list[str]:
    """Delete the rows of models that are neither in the workspace nor in its bin.

    Rows are only written while the model's folder exists, so these are of models that are gone for good.

    Returns:
        The ids of those models.

    Raises:
        StorageError: the workspace is read-only.
    """
    database = RecordsDatabase(models.root)
    ids = union(*(select(table.c.model_id) for table in _OF_MODEL))
    with database.reading() as connection:
        if connection is None or not set(connection.execute(ids).scalars()) - _present(models):
            return []
    with database.writing() as connection:
        gone = sorted(set(connection.execute(ids).scalars()) - _present(models))
        for model_id in gone:
            images = select(IMAGES.c.id).where(IMAGES.c.model_id == model_id)
            changes = select(CHANGES.c.id).where(CHANGES.c.model_id == model_id)
            # Rows that refer to others go before them.
            connection.execute(delete(CHANGED_ITEMS).where(CHANGED_ITEMS.c.change_id.in_(changes)))
            connection.execute(delete(MASKS).where(MASKS.c.image_id.in_(images)))
            for table in (CHANGES, LABELS, IMAGES, DEFECT_TYPES):
                connection.execute(delete(table).where(table.c.model_id == model_id))
    return gone


def _present(models: ModelFolders) -> set[str]:
    # The models twice, so that one which is moved to or from the bin meanwhile is seen in one place at least.
    return _folders(models.folder) | {one.id for one in model_bin.contents(models)} | _folders(models.folder)


def _folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
