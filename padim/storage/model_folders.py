"""The workspace on disk: one sub-folder per saved model, with names, ids and locks.

``<root>/models/<id>/`` is the bundle; ``work/`` inside it has the normals' embeddings and the checkpoint
while the model is being changed. ``<root>/locks/`` has one lock file per model, outside the model's folder so
that deleting the model removes its folder completely. Every process takes this lock to change or delete a
model.
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

from padim.errors import BundleError, BusyError, ChangedSinceOpenedError, PadimError
from padim.storage import bundle, holder, leftovers
from padim.storage.atomic import explain_os_error, write_atomic
from padim.storage.holder import Holder
from padim.storage.revisions import revision_of
from padim.storage.workspace_size import check_room
from padim.text import LARGEST_NUMBER, clipped, shown

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NAME_FILE = "name.txt"
LONGEST_NAME = 80
# Seconds that a change waits for another change of the same model to end.
PATIENCE = 20.0

# One lock object per file: a thread that holds it may take it again; other threads and processes wait.
_LOCKS: dict[Path, FileLock] = {}
_LOCKS_GUARD = threading.Lock()


@dataclass(frozen=True)
class Entry:
    """A model in the workspace, as shown in lists; only small files are read for it.

    Attributes:
        id: name of the folder, used in URLs.
        name: the name that the user gave it.
        path: its folder.
        created: time of the last save; None for a model that is not saved yet or broken.
        manifest: the bundle's manifest; empty for a model that is not saved yet or broken.
        broken: the reason why it cannot be opened; None if it can.
    """

    id: str
    name: str
    path: Path
    created: datetime | None
    manifest: dict[str, Any]
    broken: str | None

    @property
    def revision(self) -> str:
        """Identifier of the saved content, which changes with every save of a changed model."""
        return revision_of(self.manifest)

    @property
    def n_parts(self) -> int:
        """Number of parts in the fit."""
        return int(self.manifest.get("counts", {}).get("parts", 0))

    @property
    def fitted(self) -> datetime | None:
        """Time of the fit, in UTC; None if it is not known, as of models of an earlier version."""
        try:
            found = datetime.fromisoformat(self.manifest["fitted"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return found


class ModelFolders:
    """Folders of saved models below one root: names, ids and locks.

    It does not read the models themselves; :class:`padim.workspace.Workspace` opens and saves them.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.folder = self.root / "models"

    def models(self) -> list[Entry]:
        """List all saved models, newest first; broken ones with the reason.

        A folder without a manifest is a running fit, or one that was stopped
        (:func:`padim.storage.stopped_fits.in_workspace`), and is not listed.
        """
        if not self.folder.is_dir():
            return []
        found = [
            self._entry(path)
            for path in self.folder.iterdir()
            if _ID.fullmatch(path.name) and (path / bundle.MANIFEST).exists()
        ]
        # Without those that another process has deleted while they were read.
        found = [one for one in found if one.manifest or (one.path / bundle.MANIFEST).exists()]
        never = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda entry: (entry.created or never, entry.id), reverse=True)

    def lock_file(self, model_id: str) -> Path:
        """Return the path of the lock file that :meth:`locked` uses."""
        # Resolved, so that one lock has one name however the workspace is written.
        return (self.root / "locks" / f"{model_id}.lock").resolve()

    @staticmethod
    def is_id(name: str) -> bool:
        """Return whether a folder's name can be a model's id."""
        return _ID.fullmatch(name) is not None

    @staticmethod
    def name_of(path: Path) -> str:
        """Return the user's name of the model in this folder, or the folder's name if there is none."""
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
        """Return the model of an id.

        Raises:
            PadimError: there is no such model, or the id is not a plain folder name.
        """
        path = self.folder / model_id
        if not _ID.fullmatch(model_id) or not path.is_dir():
            raise PadimError(f"there is no model '{model_id}' in {self.folder}")
        return self._entry(path)

    def create(self, name: str) -> Entry:
        """Create a folder for a new model; it is listed once a bundle is saved in it.

        Raises:
            PadimError: the name is empty or too long.
            WorkspaceFullError: the workspace has reached its limit.
            StorageError: the workspace is read-only, or its disk is full.
        """
        name = self._checked(name)
        check_room(self.root, f"“{name}”")
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-") or "model"
        path = self.folder / f"{slug}-{secrets.token_hex(3)}"
        with explained(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            while not _made(path):  # another process has just taken that name
                path = self.folder / f"{slug}-{secrets.token_hex(3)}"
            write_atomic(path / _NAME_FILE, name.encode())
        return self._entry(path)

    def rename(self, model_id: str, name: str, *, instead_of: str | None = None) -> Entry:
        """Rename a model; its id, and with it every link, stays the same.

        Args:
            model_id: the model's id.
            name: its new name.
            instead_of: the name that is replaced; default: any.

        Raises:
            PadimError: there is no such model, it has yet another name by now, or the name is not valid.
        """
        name = self._checked(name)
        with self.locked(model_id), explained():
            entry = self.get(model_id)
            if instead_of is not None and entry.name not in (instead_of, name):
                raise PadimError(
                    f"somebody else has renamed “{instead_of}” to “{entry.name}” since this name was shown; "
                    "rename it again if that is wrong"
                )
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
        """Hold a model's lock, so that no other thread or process changes or deletes the model meanwhile.

        The thread that holds the lock may take it again. The lock ends with the process, even a killed one.

        Args:
            model_id: the model's id; the model need not exist.
            patience: seconds to wait for the lock.

        Raises:
            BusyError: the lock is not free within that time; the message says who holds it.
            PadimError: the id is not valid.
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
                found = holder.read(_note_of(path))
                raise BusyError.by(holder.UNKNOWN if found is None else found.text) from error
        outermost = lock.lock_counter == 1
        if outermost:
            holder.note(_note_of(path))
        try:
            yield
        finally:
            if outermost:
                holder.forget(_note_of(path))
            lock.release()

    def holder(self, model_id: str) -> Holder | None:
        """Return who is changing a model at the moment, as far as it is known; None if nobody is."""
        path = self.lock_file(model_id)
        return holder.read(_note_of(path)) if leftovers.is_held(path) else None

    def check_revision(self, model_id: str, revision: str) -> None:
        """Raise an error unless a model is still of this revision; call it under the model's lock.

        Raises:
            ChangedSinceOpenedError: it was saved again since.
        """
        entry = self.get(model_id)
        if entry.revision != revision:
            when = "" if entry.created is None else entry.created.isoformat()
            raise ChangedSinceOpenedError.at(entry.path, revision, entry.revision, when=when, name=entry.name)

    def delete(self, model_id: str, patience: float = PATIENCE, *, revision: str | None = None) -> None:
        """Delete a model with all its files.

        Args:
            model_id: the model's id.
            patience: as for :meth:`locked`.
            revision: delete this revision only; default: any.

        Raises:
            ChangedSinceOpenedError: the model is of another revision.
            PadimError: there is no such model, or it is being changed.
            StorageError: the workspace is read-only.
        """
        with self.locked(model_id, patience), explained():
            if revision is not None:
                self.check_revision(model_id, revision)
            bundle.remove(self.get(model_id).path)

    def work_dir(self, model_id: str) -> Path:
        """Return the folder for the model's embeddings while the model is being changed."""
        return self.get(model_id).path / "work"


def _made(folder: Path) -> bool:
    """Create a folder; return False if it exists already."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _note_of(lock_file: Path) -> Path:
    """Return the path of the note that says who holds a lock."""
    return lock_file.with_suffix(".json")


def _checked_for_lists(manifest: Mapping[str, Any], where: str) -> datetime:
    """Check the types of the manifest's values that lists of models use; return when the model was saved.

    A manifest is sealed, but anyone can compute a seal: a bad manifest must not stop the list of other
    models.

    Raises:
        BundleError: a value has the wrong type; the message names it.
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
    except OverflowError as error:  # the year 1 or 9999, with an adjacent year in UTC
        raise wrong(f"has a date beyond all others ({shown(created)})") from error


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number within the range of float."""
    if isinstance(value, int):
        return abs(value) <= LARGEST_NUMBER
    return isinstance(value, float) and math.isfinite(value)


@contextmanager
def held(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a saved model if it is in a workspace; elsewhere there is no lock.

    Args:
        path: path of the bundle.
        patience: as for :meth:`ModelFolders.locked`, whose errors are raised.
    """
    folder = path.resolve()
    if _ID.fullmatch(folder.name) and folder.parent.name == "models" and (folder / _NAME_FILE).exists():
        with ModelFolders(folder.parent.parent).locked(folder.name, patience):
            yield
    else:
        yield


@contextmanager
def explained(path: Path | None = None) -> Iterator[None]:
    """Convert OSErrors within the block to :class:`StorageError`, with a sentence that gives the remedy."""
    try:
        yield
    except Timeout:  # a subclass of OSError, but not an error of writing
        raise
    except OSError as error:
        raise explain_os_error(error, path) from error
