"""The workspace: models kept between sessions, opened, changed and saved under a lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from padim.model import Padim
from padim.storage.model_folders import PATIENCE, ModelFolders, explained

__all__ = ["Workspace"]


class Workspace(ModelFolders):
    """The models below one folder: lists, names and locks, and the models themselves."""

    def open(self, model_id: str) -> Padim:
        """Load a model, with its embeddings if they are kept.

        Raises:
            BundleError: damaged; names the file.
        """
        return Padim.load(self.get(model_id).path, work_dir=self.work_dir(model_id))

    def save(self, model_id: str, model: Padim) -> None:
        """Save a model into its folder; one that was deleted meanwhile does not come back.

        Raises:
            PadimError: the model was deleted.
            StorageError: it cannot be saved.
        """
        with self.locked(model_id):
            path = self.get(model_id).path
            with explained():
                model.save(path)

    @contextmanager
    def edit(self, model_id: str, patience: float = PATIENCE) -> Iterator[Padim]:
        """A private copy of the model to change; saved when the block ends without an exception.

        Raises:
            PadimError: no such model, or another change of it takes longer than ``patience`` seconds.
            BundleError: damaged; names the file.
            StorageError: it cannot be saved.
        """
        with self.locked(model_id, patience):
            model = self.open(model_id)
            yield model
            self.save(model_id, model)
