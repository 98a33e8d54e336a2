"""The bin of a workspace: deleted models are kept for 30 days, and can be restored.

``<root>/bin/<time>-<id>/`` is the folder of a model as it was, moved there by one rename. Its name says when,
so there is nothing else to keep in step.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import PadimError
from padim.storage.atomic import remove_tree
from padim.storage.model_folders import PATIENCE, ModelFolders, explained

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

DAYS = 30
_FORMAT = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(?P<time>\d{8}T\d{6})-(?P<id>[a-z0-9][a-z0-9-]{0,63})")


@dataclass(frozen=True)
class DeletedModel:
    """A model in the bin.

    Attributes:
        folder: its folder in the bin.
        id: the id that it had, and has again when it is restored.
        name: the user's name of it.
        deleted: when it was deleted, in UTC.
    """

    folder: Path
    id: str
    name: str
    deleted: datetime

    @property
    def until(self) -> datetime:
        """Return when it is removed for good, in UTC."""
        return self.deleted + timedelta(days=DAYS)


def put(
    models: ModelFolders, model_id: str, patience: float = PATIENCE, *, revision: str | None = None
) -> DeletedModel:
    """Move a model with all its files to the bin.

    Args:
        models: the workspace's models.
        model_id: the model's id.
        patience: seconds to wait for a change of it to end.
        revision: delete this revision only; default: any.

    Raises:
        ChangedSinceOpenedError: the model is of another revision.
        PadimError: there is no such model, or it is being changed.
        StorageError: the workspace is read-only.
    """
    with models.locked(model_id, patience), explained(models.root):
        if revision is not None:
            models.check_revision(model_id, revision)
        entry = models.get(model_id)
        now = datetime.now(UTC).replace(microsecond=0)
        folder = _folder(models) / f"{now.strftime(_FORMAT)}-{model_id}"
        folder.parent.mkdir(exist_ok=True)
        entry.path.rename(folder)
    return DeletedModel(folder, model_id, entry.name, now)


def contents(models: ModelFolders) -> list[DeletedModel]:
    """Return the models in the bin, the last deleted first."""
    folder = _folder(models)
    if not folder.is_dir():
        return []
    found = (_deleted(path) for path in folder.iterdir())
    return sorted(
        (one for one in found if one is not None), key=lambda one: (one.deleted, one.id), reverse=True
    )


def restore(models: ModelFolders, deleted: DeletedModel, patience: float = PATIENCE) -> Entry:
    """Move a model back, with its id and name, so that links to it work again.

    Raises:
        PadimError: it is no longer in the bin, or there is a model of its id.
        StorageError: the workspace is read-only.
    """
    with models.locked(deleted.id, patience), explained(models.root):
        to = models.folder / deleted.id
        if to.exists():
            raise PadimError(f"“{deleted.name}” is not in the bin any more: somebody has restored it")
        try:
            models.folder.mkdir(parents=True, exist_ok=True)
            deleted.folder.rename(to)
        except FileNotFoundError as error:
            raise PadimError(f"“{deleted.name}” is not in the bin any more") from error
        return models.get(deleted.id)


def remove(models: ModelFolders, deleted: DeletedModel, patience: float = PATIENCE) -> None:
    """Remove a model in the bin for good.

    Raises:
        StorageError: the workspace is read-only.
    """
    # Under the lock, so that it is not removed while somebody restores it.
    with models.locked(deleted.id, patience), explained(models.root):
        remove_tree(deleted.folder)


def sweep(models: ModelFolders, now: datetime | None = None) -> list[DeletedModel]:
    """Remove what has been in the bin for ``DAYS`` days; return the models among it.

    Raises:
        StorageError: the workspace is read-only.
    """
    moment = now or datetime.now(UTC)
    over = [one for one in contents(models) if one.until <= moment]
    for one in over:
        remove(models, one)
    for folder, replaced in replaced_workspaces(models):
        if replaced + timedelta(days=DAYS) <= moment:
            with explained(models.root):
                remove_tree(folder)
    return over


def replaced_folder(models: ModelFolders, now: datetime) -> Path:
    """Return the folder for what a restored backup replaces: a workspace of its own, kept as models are."""
    return _folder(models) / f"replaced-{now.strftime(_FORMAT)}"


def replaced_workspaces(models: ModelFolders) -> list[tuple[Path, datetime]]:
    """Return the folders with what restored backups have replaced, and when, in UTC; the latest first."""
    folder = _folder(models)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = []
    for name in reversed(names):
        with suppress(ValueError):
            found.append((folder / name, datetime.strptime(name, f"replaced-{_FORMAT}").replace(tzinfo=UTC)))
    return found


def find(models: ModelFolders, wanted: str) -> list[DeletedModel]:
    """Return the models in the bin with this id, name or folder name; the last deleted first."""
    return [one for one in contents(models) if wanted in (one.id, one.name, one.folder.name)]


def size(deleted: DeletedModel) -> int:
    """Return the bytes of all files of a model in the bin; those that vanish meanwhile do not count."""
    # A file with several names, as versions of the model share it, counts once.
    sizes: dict[tuple[int, int], int] = {}
    for path in deleted.folder.rglob("*"):
        try:
            if path.is_file():
                found = path.stat()
                sizes[found.st_dev, found.st_ino] = found.st_size
        except OSError:
            continue
    return sum(sizes.values())


def _folder(models: ModelFolders) -> Path:
    return models.root / "bin"


def _deleted(path: Path) -> DeletedModel | None:
    match = _NAME.fullmatch(path.name)
    if match is None or not path.is_dir():
        return None
    try:
        time = datetime.strptime(match["time"], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return DeletedModel(path, match["id"], ModelFolders.name_of(path), time)
