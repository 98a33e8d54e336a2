"""Folders of saved models: what the workspace is on disk, one sub-folder a model.

``<root>/models/<id>/`` is the bundle; ``work/`` inside it holds the normals' embeddings and the
checkpoint while the model is worked on. ``<root>/locks/`` holds a lock file a model, outside the model's
folder so that deleting the model leaves nothing of it: whoever changes or deletes a model takes its lock,
in whatever process.
"""

from __future__ import annotations

import math
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from padim.errors import BundleError, PadimError
from padim.storage import bundle
from padim.storage.atomic import explain_os_error, write_atomic
from padim.text import LARGEST_NUMBER, clipped, shown

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NAME_FILE = "name.txt"
LONGEST_NAME = 80
# Seconds that a change waits for another change of the same model.
PATIENCE = 20.0

# One lock object a file: a thread that holds it may take it again, other threads and processes wait.
_LOCKS: dict[Path, FileLock] = {}
_LOCKS_GUARD = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """A model in the workspace, as lists show it; nothing heavy is read for it.

    Attributes:
        id: folder name, used in URLs.
        name: what the user called it.
        path: its folder.
        created: when it was last saved, None while it is being made or when broken.
        manifest: of the bundle, empty while it is being made or when broken.
        broken: why it cannot be opened, None when it can.
    """

    id: str
    name: str
    path: Path
    created: datetime | None
    manifest: dict[str, Any]
    broken: str | None

    @property
    def revision(self) -> str:
        """Changes whenever the saved model does."""
        return str(self.manifest.get("seal", ""))

    @property
    def n_parts(self) -> int:
        """Parts in the fit."""
        return int(self.manifest.get("counts", {}).get("parts", 0))


class ModelFolders:
    """The folders of saved models below one root: names, ids and locks.

    What is in a model is not looked at; :class:`padim.workspace.Workspace` opens and saves them.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.folder = self.root / "models"

    def models(self) -> list[Entry]:
        """All saved models, newest first; broken ones are listed with the reason.

        A folder without a manifest is a fit under way, or one that was stopped
        (:func:`padim.storage.stopped_fits.in_workspace`), and is not listed.
        """
        if not self.folder.is_dir():
            return []
        found = [
            self._entry(path)
            for path in self.folder.iterdir()
            if _ID.fullmatch(path.name) and (path / bundle.MANIFEST).exists()
        ]
        never = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda entry: (entry.created or never, entry.id), reverse=True)

    def lock_file(self, model_id: str) -> Path:
        """What :meth:`locked` locks."""
        return (self.root / "locks" / f"{model_id}.lock").absolute()

    @staticmethod
    def is_id(name: str) -> bool:
        """Whether a folder's name can be a model's id."""
        return _ID.fullmatch(name) is not None

    @staticmethod
    def name_of(path: Path) -> str:
        """What the user called the model in this folder; the folder's own name where that cannot be told."""
        try:
            with (path / _NAME_FILE).open("rb") as file:
                text = file.read(8 * LONGEST_NAME).decode("utf-8", "ignore")
        except OSError:
            return path.name
        return clipped(" ".join(text.split()), LONGEST_NAME) or path.name

    def _entry(self, path: Path) -> Entry:
        name = self.name_of(path)
        try:
            if not (path / bundle.MANIFEST).exists():
                return Entry(path.name, name, path, None, {}, None)
            manifest = bundle.Bundle(path).manifest
            created = _checked_for_lists(manifest, f"{path}: {bundle.MANIFEST}")
        except (BundleError, OSError) as error:
            return Entry(path.name, name, path, None, {}, str(error))
        return Entry(path.name, name, path, created, manifest, None)

    def get(self, model_id: str) -> Entry:
        """One model by id.

        Raises:
            PadimError: no such model; an id that is no plain folder name is no such model either.
        """
        path = self.folder / model_id
        if not _ID.fullmatch(model_id) or not path.is_dir():
            raise PadimError(f"there is no model '{model_id}' in {self.folder}")
        return self._entry(path)

    def create(self, name: str) -> Entry:
        """A folder for a new model; it is listed once a bundle is saved in it.

        Raises:
            PadimError: an empty or overlong name.
            StorageError: the workspace is read-only, or its disk is full.
        """
        name = self._checked(name)
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-") or "model"
        path = self.folder / f"{slug}-{secrets.token_hex(3)}"
        with explained(path):
            path.mkdir(parents=True)
            write_atomic(path / _NAME_FILE, name.encode())
        return self._entry(path)

    def rename(self, model_id: str, name: str) -> Entry:
        """Another name; the id, and with it every link, stays."""
        name = self._checked(name)
        with self.locked(model_id), explained():
            entry = self.get(model_id)
            write_atomic(entry.path / _NAME_FILE, name.encode(), make_folder=False)
            return self._entry(entry.path)

    @staticmethod
    def _checked(name: str) -> str:
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME:
            raise PadimError(f"a model's name has 1 to {LONGEST_NAME} characters, this one has {len(name)}")
        return name

    @contextmanager
    def locked(self, model_id: str, patience: float = PATIENCE) -> Iterator[None]:
        """Hold a model's lock: nobody else changes or deletes the model meanwhile, in any process.

        The thread that holds it may take it again. The lock ends with the process, also with a killed one.

        Args:
            model_id: the model; it need not exist (any more).
            patience: seconds to wait for whoever holds the lock.

        Raises:
            PadimError: it is held for longer than that, or the id is no model's.
            StorageError: the workspace is read-only, or its disk is full.
        """
        if not _ID.fullmatch(model_id):
            raise PadimError(f"there is no model '{model_id}' in {self.folder}")
        path = self.lock_file(model_id)
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(path, FileLock(path))
        with explained(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=patience)
            except Timeout as error:
                raise PadimError(
                    "the model is being changed by somebody else; try again when that has finished"
                ) from error
        try:
            yield
        finally:
            lock.release()

    def delete(self, model_id: str, patience: float = PATIENCE) -> None:
        """Remove a model with all that belongs to it.

        Raises:
            PadimError: no such model, or it is being changed.
            StorageError: the workspace is read-only.
        """
        with self.locked(model_id, patience), explained():
            bundle.remove(self.get(model_id).path)

    def work_dir(self, model_id: str) -> Path:
        """Where the model's embeddings are kept while it is worked on."""
        return self.get(model_id).path / "work"


def _checked_for_lists(manifest: Mapping[str, Any], where: str) -> datetime:
    """When the model was saved, once all that lists of models read of its manifest is of the right kind.

    A manifest is sealed, but anyone can seal one: a list shows the others whatever stands in it.

    Raises:
        BundleError: something is not; names it.
    """

    def wrong(what: str) -> BundleError:
        return BundleError(f"{where} {what}; it was not written by padim")

    for key in ("config", "counts", "files"):
        if not isinstance(manifest.get(key), dict):
            raise wrong(f"has no valid {key}")
    if not all(isinstance(entry, dict) for entry in manifest["files"].values()):
        raise wrong("has no valid files")
    parts = manifest["counts"].get("parts")
    if not isinstance(parts, int) or not 0 <= parts <= LARGEST_NUMBER:
        raise wrong(f"counts {shown(parts)} parts")
    if not isinstance(manifest.get("calibration", ""), str):
        raise wrong("has no valid calibration")
    threshold, quantizer = manifest.get("threshold"), manifest.get("quantizer")
    if threshold and not (isinstance(threshold, dict) and _is_number(threshold.get("level"))):
        raise wrong("has no valid threshold")
    if quantizer and not (
        isinstance(quantizer, dict) and all(_is_number(quantizer.get(key)) for key in ("offset", "step"))
    ):
        raise wrong("has no valid scale")
    created = manifest.get("created")
    try:
        date = datetime.fromisoformat(created) if isinstance(created, str) else None
    except ValueError:
        date = None
    if date is None or date.tzinfo is None:
        raise wrong(f"has no date with a time zone ({shown(created)})")
    try:
        return date.astimezone(UTC)
    except OverflowError as error:  # in the year 1 or 9999, and another year in UTC
        raise wrong(f"has a date beyond all others ({shown(created)})") from error


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    if isinstance(value, int):
        return abs(value) <= LARGEST_NUMBER
    return isinstance(value, float) and math.isfinite(value)


@contextmanager
def held(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a saved model, where its place is in a workspace; elsewhere there is none.

    Args:
        path: of the bundle.
        patience: as for :meth:`ModelFolders.locked`, which says what is raised.
    """
    folder = path.absolute()
    if _ID.fullmatch(folder.name) and folder.parent.name == "models" and (folder / _NAME_FILE).exists():
        with ModelFolders(folder.parent.parent).locked(folder.name, patience):
            yield
    else:
        yield


@contextmanager
def explained(path: Path | None = None) -> Iterator[None]:
    """Let the system's refusal to write be a sentence; a :class:`StorageError` instead of an OSError."""
    try:
        yield
    except Timeout:  # an OSError too, but no refusal
        raise
    except OSError as error:
        raise explain_os_error(error, path) from error
