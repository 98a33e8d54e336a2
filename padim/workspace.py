"""The workspace: models stored between sessions, opened, changed and saved under a lock, with versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from padim.model import Padim
from padim.records.version import VersionChange
from padim.storage.model_folders import PATIENCE, ModelFolders, explained

__all__ = ["Workspace"]


class Workspace(ModelFolders):
    """Workspace of models below one folder: lists, names and locks, and opening and saving the models."""

    def open(self, model_id: str) -> Padim:
        """Open a model, with its embeddings if they are stored.

        Raises:
            BundleError: the model is damaged; the error names the file.
        """
        return Padim.load(self.get(model_id).path, work_dir=self.work_dir(model_id))

    def save(self, model_id: str, model: Padim, change: VersionChange | None = None) -> None:
        """Save a model into its folder, unless it was deleted meanwhile, and make a version of it.

        Args:
            model_id: the model's id.
            model: the model.
            change: who saves it, and why; default: whoever this thread acts for.

        Raises:
            PadimError: the model was deleted.
            StorageError: the model cannot be saved.
        """
        # Imported here, because models can be listed and opened without the database's packages.
        from padim.records.versions import ModelVersions

        with self.locked(model_id):
            path = self.get(model_id).path
            with ModelVersions(self.root, model_id).saving(change) as saved, explained():
                model.save(path)
                saved(model)

    @contextmanager
    def edit(
        self,
        model_id: str,
        patience: float = PATIENCE,
        *,
        revision: str | None = None,
        change: VersionChange | None = None,
    ) -> Iterator[Padim]:
        """Yield a copy of the model to change, and save it if the block ends without an exception.

        The save makes a version of the model.

        Args:
            model_id: the model's id.
            patience: as for :meth:`locked`.
            revision: revision that the change is meant for; default: whatever is there.
            change: who changes it, and why; default: whoever this thread acts for.

        Raises:
            ChangedSinceOpenedError: the model is of another revision.
            BusyError: another change takes longer than ``patience`` seconds.
            PadimError: there is no such model.
            BundleError: the model is damaged; the error names the file.
            StorageError: the model cannot be saved.
        """
        with self.locked(model_id, patience):
            if revision is not None:
                self.check_revision(model_id, revision)
            model = self.open(model_id)
            yield model
            self.save(model_id, model, change)
