"""Backups of a workspace: records, models with versions and libraries, comparisons and settings, in a file.

A backup is made while fits, saves and recordings go on. The records are one state of the database, taken
first. A model's files are never changed but replaced, under names that have the hash of their content, so
that a manifest and the files that it lists belong together; what is saved later is either in the backup whole
or not at all. Only the features of good parts are changed in place: they are copied under the model's lock,
and left out, which the backup says, while somebody changes that model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import func, select

from padim import settings
from padim.errors import BusyError, PadimError, StorageError
from padim.installation import workspace_folder
from padim.records import records_copy
from padim.records.backup_file import BackupIndex, BackupWriter, opened_backup
from padim.records.database import RecordsDatabase
from padim.records.evidence import FOLDER as EVIDENCE_FOLDER
from padim.records.schema import EVIDENCE
from padim.records.sinks_file import FILE as SINKS_FILE
from padim.storage import bundle
from padim.storage.atomic import explain_os_error, write_atomic
from padim.storage.leftovers import ScratchFolder, is_temporary_name
from padim.storage.model_folders import ModelFolders
from padim.storage.revisions import parsed
from padim.storage.version_files import VersionFiles, listed

__all__ = ["LastBackup", "last_backup", "make_backup", "read_backup"]

_LAST = "last-backup.json"
_LOG = logging.getLogger(__name__)
# Seconds to wait for a change of a model to end before its features are left out.
_PATIENCE = 2.0
# How often a model is read again that is saved anew while it is read.
_TRIES = 20

# Bytes of a file that is read at once.
_IN_MEMORY = 16 * 2**20

BackupProgress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class LastBackup:
    """The last backup of a workspace: when it was made, its file, size in bytes, and what it left out."""

    made: datetime
    file: str
    bytes: int
    left_out: tuple[str, ...]


def make_backup(
    root: str | Path,
    file: str | Path,
    *,
    evidence: bool = False,
    configuration: bool = True,
    progress: BackupProgress = lambda done, total, stage: None,
) -> BackupIndex:
    """Write a backup of a workspace, read it back and compare every content with its hash.

    The file appears when it is complete, and replaces one of its name.

    Args:
        root: the workspace's folder.
        file: the file to write.
        evidence: whether to take the images and level maps that are kept with records.
        configuration: whether to take the files of settings and sinks, which may have passwords.
        progress: called with what is done, the total if known, and the stage.

    Raises:
        PadimError: there is no workspace, or what was written cannot be read back.
        StorageError: the file cannot be written, or the database is away.
    """
    root, file = Path(root), Path(file).absolute()
    if not root.is_dir():
        raise PadimError(f"{root}: there is no workspace to back up; set PADIM_HOME to its folder")
    made = datetime.now(UTC)
    found: list[BackupIndex] = []

    def write(target: BinaryIO) -> None:
        with ScratchFolder(beside=file) as scratch:
            taking = _Taking(root, BackupWriter(target), progress)
            found.append(taking.take(Path(scratch), made, evidence=evidence, configuration=configuration))

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, write)
        size = file.stat().st_size
    except OSError as error:
        raise explain_os_error(error, file) from error
    (index,) = found
    note = {
        "made": made.isoformat(),
        "file": str(file),
        "bytes": size,
        "left_out": list(index.left_out),
    }
    with suppress(OSError):  # a read-only workspace
        write_atomic(root / _LAST, json.dumps(note, ensure_ascii=False, indent=1).encode())
    return index


def read_backup(file: str | Path, progress: BackupProgress = lambda done, total, stage: None) -> BackupIndex:
    """Read a backup completely and compare every content with its hash; return what is in it.

    Raises:
        PadimError: it is no backup, of a later version, or damaged.
    """
    progress(0, None, "Checking the backup")
    with opened_backup(Path(file)) as backup:
        backup.verify()
        return backup.index


def last_backup(root: str | Path) -> LastBackup | None:
    """Return what is known of a workspace's last backup; None if there was none."""
    try:
        data = json.loads((Path(root) / _LAST).read_bytes())
        made = datetime.fromisoformat(data["made"]).astimezone(UTC)
        left_out = tuple(str(one) for one in data["left_out"])
        return LastBackup(made, str(data["file"]), int(data["bytes"]), left_out)
    except (OSError, ValueError, TypeError, KeyError):
        return None


class _Taking:
    """One backup in the making."""

    def __init__(self, root: Path, writer: BackupWriter, progress: BackupProgress) -> None:
        self._root, self._writer, self._progress = root, writer, progress
        self._models = ModelFolders(root)
        self._left_out: list[str] = []

    def take(self, scratch: Path, made: datetime, *, evidence: bool, configuration: bool) -> BackupIndex:
        """Take everything, the records first: a row without its file says so, a file without is swept."""
        self._progress(0, None, "Records")
        inspections = 0
        copy = records_copy.write_copy(self._root, scratch)
        if copy is not None:
            inspections = records_copy.checked_copy(copy)
            self._file(records_copy.FILE, copy)
        names = {}
        folders = self._folders()
        for number, folder in enumerate(folders):
            self._progress(number, len(folders), "Models")
            if self._model(folder):
                names[folder.name] = ModelFolders.name_of(folder)
        self._progress(0, None, "Comparisons")
        self._tree("studies", self._root / "studies")
        if configuration:
            self._settings()
        else:
            self._left_out.append("the settings and sinks, which may have passwords")
        if evidence:
            self._progress(0, None, "Images of inspections")
            self._tree(EVIDENCE_FOLDER, self._root / EVIDENCE_FOLDER)
            self._note_other_folders()
        self._progress(0, None, "Checking what was written")
        return self._writer.finish(
            made=made, evidence=evidence, models=names, inspections=inspections, left_out=self._left_out
        )

    def _folders(self) -> list[Path]:
        if not self._models.folder.is_dir():
            return []
        return sorted(
            path for path in self._models.folder.iterdir() if path.is_dir() and ModelFolders.is_id(path.name)
        )

    def _model(self, folder: Path) -> bool:
        """Take one model; return False if it is not there, or not saved yet."""
        name = ModelFolders.name_of(folder)
        with ExitStack() as stack:
            try:
                stack.enter_context(self._models.locked(folder.name, _PATIENCE))
                features = True
            except BusyError as error:
                features = False
                busy = str(error)
            except StorageError:
                features = True  # a read-only workspace, in which nobody changes anything
            if not self._saved(folder, name):
                return False
            if features:
                self._tree(f"models/{folder.name}/work", folder / "work")
            elif (folder / "work").is_dir():
                self._left_out.append(
                    f"“{name}”: the features of its good parts, because it is being changed ({busy}); with "
                    "what is in the backup it inspects, but parts cannot be added to it or taken out"
                )
        self._versions(folder, name)
        self._rest(folder)
        return True

    def _saved(self, folder: Path, name: str) -> bool:
        """Take a model as it was saved last."""
        path = folder / bundle.MANIFEST
        for _ in range(_TRIES):
            try:
                text = path.read_bytes()
            except FileNotFoundError:
                if folder.is_dir():
                    self._left_out.append(f"“{name}”: its fit has not ended")
                return False
            try:
                self._listed(f"models/{folder.name}", folder, listed(parsed(text) or {}))
            except FileNotFoundError as error:
                missing = error
                if path.exists() and path.read_bytes() == text:
                    break  # damaged, and not saved anew
                continue
            self._writer.add_bytes(f"models/{folder.name}/{bundle.MANIFEST}", text)
            return True
        else:
            raise PadimError(f"{folder}: is saved again and again; make the backup when that has ended")
        _LOG.warning("%s: a file of the model is missing", folder)
        self._left_out.append(f"“{name}”: it is damaged, {Path(missing.filename).name} is missing")
        return False

    def _versions(self, folder: Path, name: str) -> None:
        files = VersionFiles(folder)
        for number in files.numbers():
            path = files.path(number)
            place = f"models/{folder.name}/versions"
            try:
                text = path.read_bytes()
                names = listed(parsed(text) or {})
                self._listed(f"{place}/{bundle.VERSION_FILES}", files.folder / bundle.VERSION_FILES, names)
            except FileNotFoundError:
                if path.exists():
                    self._left_out.append(f"“{name}”: version {number} is damaged, a file of it is missing")
                continue  # deleted meanwhile
            self._writer.add_bytes(f"{place}/{path.name}", text)
        with suppress(FileNotFoundError):
            self._writer.add_bytes(
                f"models/{folder.name}/versions/pending.json", (files.folder / "pending.json").read_bytes()
            )

    def _rest(self, folder: Path) -> None:
        """Take a model's name, labels and image library, whose files are replaced and never changed."""
        with suppress(FileNotFoundError):
            for path in sorted(folder.iterdir()):
                if path.is_file() and path.name != bundle.MANIFEST and not bundle.is_own_file(path.name):
                    self._file(f"models/{folder.name}/{path.name}", path)
                elif path.is_dir() and path.name not in ("work", "versions"):
                    self._tree(f"models/{folder.name}/{path.name}", path)

    def _listed(self, place: str, folder: Path, names: Iterable[str]) -> None:
        """Take files that belong together: all are opened before the first is read.

        Raises:
            FileNotFoundError: one is missing; nothing was taken.
        """
        with ExitStack() as stack:
            files = {name: stack.enter_context((folder / name).open("rb")) for name in sorted(names)}
            for name, file in files.items():
                self._writer.add(f"{place}/{name}", file)

    def _tree(self, place: str, folder: Path) -> None:
        """Take all files below a folder; those that vanish meanwhile are gone."""
        for path in _below(folder):
            self._file(f"{place}/{path.relative_to(folder).as_posix()}", path)

    def _file(self, place: str, path: Path) -> None:
        if path.is_symlink() or is_temporary_name(path.name) or path.name.endswith(".lock"):
            return
        with suppress(FileNotFoundError), path.open("rb") as file:
            if path.stat().st_size <= _IN_MEMORY:  # in one piece, should somebody write to it
                self._writer.add_bytes(place, file.read())
            else:
                self._writer.add(place, file)

    def _settings(self) -> None:
        own = self._root / settings.FILE
        if not own.exists() and self._root.resolve() == workspace_folder():
            own = settings.file_path()  # the one that PADIM_SETTINGS names
        for name, path in ((settings.FILE, own), (SINKS_FILE, self._root / SINKS_FILE)):
            with suppress(FileNotFoundError):
                self._writer.add_bytes(name, path.read_bytes())

    def _note_other_folders(self) -> None:
        other = EVIDENCE.c.original_folder
        query = select(other, func.count()).where(EVIDENCE.c.original_bytes.is_not(None), other != "")
        with RecordsDatabase(self._root).reading() as connection:
            rows = [] if connection is None else connection.execute(query.group_by(other)).all()
        self._left_out += [
            f"{count:,} images of inspections in {folder}, which is outside of the workspace"
            for folder, count in rows
        ]


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.rglob("*") if path.is_file())
