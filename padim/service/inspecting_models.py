"""The models that inspect, opened once: always the approved version of a model, whenever that changes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from padim.analysis.fit_overlap import KnownImages
from padim.errors import PadimError, StorageError
from padim.model import Padim
from padim.storage import bundle
from padim.storage.model_folders import ModelFolders

if TYPE_CHECKING:
    from padim.records.recipes import Recipe
    from padim.records.version import ModelVersion

__all__ = ["InspectingModel", "InspectingModels"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class InspectingModel:
    """A model that is opened to inspect.

    Attributes:
        model: the model.
        model_id: its id in its workspace; outside of one, the name of its folder or file.
        name: its name, for people.
        root: its workspace's folder; None outside of one, where nothing can be put on record.
        version: the version that it is; None if that is not known.
        known: the images that it was fitted on.
        note: a sentence if it is not simply the approved version; else empty.
    """

    model: Padim
    model_id: str
    name: str
    root: Path | None
    version: ModelVersion | None
    known: KnownImages
    note: str = ""

    @property
    def version_id(self) -> int | None:
        """The row of the version, for records."""
        return None if self.version is None else self.version.id

    @property
    def version_number(self) -> int | None:
        """The number of the version."""
        return None if self.version is None else self.version.number


class InspectingModels:
    """Opens models to inspect with, and keeps the latest few open (thread-safe).

    Each call looks whether another version has been approved since, or the model saved anew, and then opens
    that one: the next image is inspected by it. While the database cannot be reached, what was known last
    goes on inspecting.
    """

    def __init__(self, root: str | Path | None = None, *, keep: int = 4) -> None:
        """
        Args:
            root: the workspace's folder; None if models are named by their path only.
            keep: number of models that stay open.
        """
        self.root = None if root is None else Path(root).resolve()
        self._keep = max(1, keep)
        self._open: OrderedDict[tuple[str, str], tuple[object, InspectingModel]] = OrderedDict()
        self._recipes: dict[str, str] = {}
        self._lock = threading.Lock()
        # One model is opened at a time, so that two threads do not open the same one.
        self._opening = threading.Lock()

    def of(self, target: str | Path) -> InspectingModel:
        """Return the model of a path, of an id or name in the workspace, or of a part number, in this order.

        Raises:
            PadimError: there is no such model or part number, or two models have this name.
            BundleError: a file of the model is damaged; the error names it.
        """
        path = Path(target)
        if isinstance(target, Path) or path.exists():
            return self.of_path(path)
        if self.root is None:
            raise PadimError(f"{target}: there is no such model; give the path of a saved model")
        folders = ModelFolders(self.root)
        if folders.is_id(str(target)) and (folders.folder / str(target) / bundle.MANIFEST).is_file():
            return self.of_model(str(target))
        named = [entry.id for entry in folders.models() if entry.name == target]
        if len(named) > 1:
            raise PadimError(
                f"{target}: {len(named)} models have this name; give one's id: {', '.join(named)}"
            )
        return self.of_model(named[0]) if named else self.of_part_number(str(target))

    def of_part_number(self, part_number: str) -> InspectingModel:
        """Return the model that inspects a part number, by its recipe.

        Raises:
            PartNumberError: it has no recipe.
            StorageError: the recipes cannot be read, and were not read before.
        """
        return self.of_model(self._recipe(part_number))

    def of_path(self, path: Path) -> InspectingModel:
        """Return the model in a folder or zip, of a workspace or not.

        Raises:
            BundleError: a file is missing or damaged; the error names it.
        """
        place = path.resolve()
        root = place.parent.parent
        folders = ModelFolders(root)
        if place.parent == folders.folder and folders.is_id(place.name) and (place / "name.txt").is_file():
            return self._in_workspace(root, place.name)
        key = "", str(place)
        return self._opened(key, _mark(place), lambda: self._alone(place))

    def of_model(self, model_id: str) -> InspectingModel:
        """Return the model of an id.

        Raises:
            PadimError: there is no such model.
            BundleError: a file of the model is damaged; the error names it.
        """
        if self.root is None:
            raise PadimError(f"{model_id}: there is no workspace to find the model in")
        return self._in_workspace(self.root, model_id)

    def wrong_part(self, part_number: str, using: InspectingModel) -> str:
        """Return why a model does not inspect a part number, as a sentence; empty if it does.

        Without a part number, and outside of a workspace, any model inspects.

        Raises:
            StorageError: the recipes cannot be read, and were not read before.
        """
        from padim.records.recipes import PartNumberError

        if not part_number or using.root is None:
            return ""
        try:
            model_id = self._recipe(part_number, using.root)
        except PartNumberError as error:
            return str(error)
        if model_id == using.model_id:
            return ""
        return f"part number {part_number} is inspected by the model {model_id}, not by {using.model_id}"

    # -- opening -----------------------------------------------------------------------------------------

    def _recipe(self, part_number: str, root: Path | None = None) -> str:
        from padim.records.recipes import Recipes

        root = root or self.root
        if root is None:
            raise PadimError(f"{part_number}: there is no workspace with part numbers")
        key = f"{root}\0{part_number}"
        try:
            found: Recipe = Recipes(root).of(part_number)
        except StorageError:
            with self._lock:
                if key in self._recipes:
                    return self._recipes[key]
            raise
        with self._lock:
            self._recipes[key] = found.model_id
        return found.model_id

    def _in_workspace(self, root: Path, model_id: str) -> InspectingModel:
        from padim.records.versions import ModelVersions

        key = str(root), model_id
        entry = ModelFolders(root).get(model_id)
        versions = ModelVersions(root, model_id)
        try:
            approved = versions.approved()
        except (PadimError, OSError) as error:
            with self._lock:
                kept = self._open.get(key)
            if kept is not None:
                return kept[1]
            _LOGGER.warning("which version of %s is approved is not known: %s", model_id, error)
            note = f"Which version is approved is not known ({error}): the saved model inspects."
            return self._opened(key, _mark(entry.path), lambda: self._saved(root, model_id, note))
        if approved is None:
            return self._opened(key, _mark(entry.path), lambda: self._saved(root, model_id))
        return self._opened(key, approved.id, lambda: self._approved(root, approved, entry.name))

    def _opened(
        self, key: tuple[str, str], mark: object, opening: Callable[[], InspectingModel]
    ) -> InspectingModel:
        with self._opening:
            with self._lock:
                kept = self._open.get(key)
                if kept is not None and kept[0] == mark:
                    self._open.move_to_end(key)
                    return kept[1]
            opened = opening()
            with self._lock:
                self._open[key] = mark, opened
                self._open.move_to_end(key)
                while len(self._open) > self._keep:
                    self._open.popitem(last=False)
            return opened

    @staticmethod
    def _approved(root: Path, approved: ModelVersion, name: str) -> InspectingModel:
        from padim.records.versions import ModelVersions

        model = ModelVersions(root, approved.model_id).open(approved)
        return InspectingModel(model, approved.model_id, name, root, approved, KnownImages.of(model))

    @staticmethod
    def _saved(root: Path, model_id: str, note: str = "") -> InspectingModel:
        """Open the model as it is saved, as the app does where no version is approved."""
        from padim.records.versions import ModelVersions

        entry = ModelFolders(root).get(model_id)
        version = None
        if not note:
            try:
                version = ModelVersions(root, model_id).catch_up(patience=2.0)
            except (PadimError, OSError) as error:
                _LOGGER.warning("the version of %s is not known: %s", model_id, error)
            if version is not None and version.state != "approved":
                note = f"No version is approved: version {version.number}, the saved model, inspects."
        model = Padim.load(entry.path)
        if version is not None and version.revision != model.revision:
            version = None
        return InspectingModel(model, model_id, entry.name, root, version, KnownImages.of(model), note)

    @staticmethod
    def _alone(path: Path) -> InspectingModel:
        model = Padim.load(path)
        return InspectingModel(model, path.stem, path.stem, None, None, KnownImages.of(model))


def _mark(path: Path) -> object:
    """Return what tells one saved state of a model's file from another."""
    file = path / bundle.MANIFEST if path.is_dir() else path
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
