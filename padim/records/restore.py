"""Bringing a workspace back from its backup, into an empty one or in place of what is there.

Everything is unpacked and compared with its hashes before anything is changed. What is replaced is moved to
the workspace's bin, as a workspace of its own, and kept for 30 days. An error on the way puts everything back
as it was; after a kill the file ``restoring.json`` says what was under way, and restoring again completes it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from padim import settings
from padim.errors import PadimError
from padim.records import records_copy, server_url
from padim.records.backup import BackupProgress
from padim.records.backup_file import BackedUpFile, BackupIndex, BackupReader, opened_backup
from padim.records.database import RecordsDatabase
from padim.storage import bin as model_bin
from padim.storage import bundle
from padim.storage.atomic import explain_os_error, write_atomic
from padim.storage.leftovers import ScratchFolder, locked_beside
from padim.storage.model_folders import ModelFolders
from padim.text import count, megabytes

__all__ = ["RestoreReport", "restore_backup", "unfinished_restore"]

_MARK = "restoring.json"
# Folders that are replaced as a whole, and files; evidence is added to what is there, by its content's name.
_FOLDERS = ("models", "studies")
_FILES = ("settings.yaml", "sinks.yaml")
# Seconds to wait for changes of models to end.
_PATIENCE = 5.0


@dataclass(frozen=True)
class RestoreReport:
    """What was restored.

    Attributes:
        index: what the backup has.
        replaced: the folder with what was there before; None if the workspace was empty.
        notes: what there is to know, in sentences.
    """

    index: BackupIndex
    replaced: Path | None
    notes: tuple[str, ...]


def restore_backup(
    file: str | Path,
    root: str | Path,
    *,
    replace: bool = False,
    progress: BackupProgress = lambda done, total, stage: None,
) -> RestoreReport:
    """Restore a backup into a workspace.

    Args:
        file: the backup.
        root: the workspace's folder; it is made if it does not exist.
        replace: whether what is in it may be replaced; it is moved to the bin.
        progress: called with what is done, the total if known, and the stage.

    Raises:
        PadimError: the file is no backup, damaged or of a later version; the workspace is not empty; or
            its database belongs to another workspace. Nothing is changed then.
        BusyError: a model is being changed. Nothing is changed then.
        StorageError: the workspace cannot be written; it is as it was.
    """
    root = Path(root)
    with opened_backup(Path(file)) as backup:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked_beside(root / _MARK):
                return _Restoring(root, Path(file), backup, progress).run(replace=replace)
        except OSError as error:
            raise explain_os_error(error, root) from error


def unfinished_restore(root: str | Path) -> str | None:
    """Return the file of a restore that a kill has left unfinished; None if there is none."""
    try:
        return str(json.loads((Path(root) / _MARK).read_bytes())["file"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return "its backup"


class _Restoring:
    """One restore under way."""

    def __init__(self, root: Path, file: Path, backup: BackupReader, progress: BackupProgress) -> None:
        self._root, self._file, self._backup, self._progress = root, file, backup, progress
        self._models = ModelFolders(root)
        self._index = backup.index
        # Restored settings may name another database, which is not the one that is checked here.
        self._url = server_url.configured()

    def run(self, *, replace: bool) -> RestoreReport:
        there = self._content()
        if there and not replace:
            former = unfinished_restore(self._root)
            if former is not None:
                there = f"a part of {former}, whose restoring was interrupted; it has {there}"
            raise PadimError(
                f"{self._root}: is not empty, it has {there}; to replace that, which moves it to the bin, "
                "give --replace, or set PADIM_HOME to an empty folder"
            )
        room, needed = shutil.disk_usage(self._root).free, self._index.bytes
        if room < needed:
            raise PadimError(
                f"{self._root}: has room for {megabytes(room)}, and the backup takes {megabytes(needed)}; "
                "free some space there, and restore it again"
            )
        with ScratchFolder(beside=self._root / "restore") as scratch:
            staged = Path(scratch)
            self._unpack(staged)
            if (staged / records_copy.FILE).exists():
                self._progress(0, None, "Checking the records")
                records_copy.checked_copy(staged / records_copy.FILE)
            replaced = self._bin_folder() if there else None
            self._progress(0, None, "Putting it in place")
            with self._all_models(staged), _undone_on_error() as undo:
                self._swap(staged, replaced, undo)
            (self._root / _MARK).unlink(missing_ok=True)
        return RestoreReport(self._index, replaced, self._notes())

    def _content(self) -> str:
        """Return what is in the workspace that would be replaced, in words; empty for nothing."""
        models = _children(self._models.folder)
        with RecordsDatabase(self._root).reading() as connection:
            has_records = connection is not None
        found = [
            count(len(models), "model") if models else "",
            "records" if has_records else "",
            "comparisons" if _children(self._root / "studies") else "",
            "settings" if any((self._root / name).exists() for name in _FILES) else "",
        ]
        return ", ".join(filter(None, found))

    def _unpack(self, staged: Path) -> None:
        first: dict[str, Path] = {}
        files = self._index.files
        for number, one in enumerate(files):
            self._progress(number, len(files), "Unpacking")
            target = staged / one.path
            former = first.get(one.sha256)
            if former is None or not _linked(former, target):
                self._backup.extract(one, target)
            if _never_changes(one):
                first.setdefault(one.sha256, target)

    def _bin_folder(self) -> Path:
        now = datetime.now(UTC)
        folder = model_bin.replaced_folder(self._models, now)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def _all_models(self, staged: Path) -> Iterator[None]:
        """Hold the locks of all models, there and in the backup."""
        folders = (self._models.folder, staged / "models")
        names = {path.name for folder in folders for path in _children(folder)}
        with ExitStack() as stack:
            for name in sorted(filter(ModelFolders.is_id, names)):
                stack.enter_context(self._models.locked(name, _PATIENCE))
            yield

    def _swap(self, staged: Path, replaced: Path | None, undo: ExitStack) -> None:
        mark = {"file": str(self._file), "replaced": str(replaced or "")}
        write_atomic(self._root / _MARK, json.dumps(mark).encode())
        undo.callback((self._root / _MARK).unlink, missing_ok=True)
        if replaced is not None:
            undo.callback(shutil.rmtree, replaced, ignore_errors=True)
            records_copy.write_copy(self._root, replaced)
        for name in _FILES:
            self._put_file(name, staged / name, replaced, undo)
        for name in _FOLDERS:
            for path in _children(self._root / name):
                assert replaced is not None
                _move(path, replaced / name / path.name, undo)
            for path in _children(staged / name):
                _move(path, self._root / name / path.name, undo)
        self._add_evidence(staged / "evidence")
        has_records = (staged / records_copy.FILE).exists()
        if has_records or replaced is not None:
            # Last, because it cannot be undone; if it fails, nothing of it has happened.
            records_copy.replace_records(self._root, staged if has_records else None, self._url)

    def _put_file(self, name: str, new: Path, replaced: Path | None, undo: ExitStack) -> None:
        there = self._root / name
        if there.exists():
            assert replaced is not None
            before = there.read_bytes()
            write_atomic(replaced / name, before)
            undo.callback(write_atomic, there, before)
            if not new.exists():
                there.unlink()
        else:
            undo.callback(there.unlink, missing_ok=True)
        if new.exists():
            write_atomic(there, new.read_bytes())

    def _add_evidence(self, folder: Path) -> None:
        """Add images and level maps, which are named by their content, to those that are there."""
        if not folder.is_dir():
            return
        for path in folder.rglob("*"):
            target = self._root / "evidence" / path.relative_to(folder)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)

    def _notes(self) -> tuple[str, ...]:
        found = [f"not in the backup: {one}" for one in self._index.left_out]
        restored = {one.path for one in self._index.files}
        named = settings.in_environment("settings")
        if "settings.yaml" in restored and named:
            found.append(
                f"settings.yaml is restored to the workspace; PADIM_SETTINGS names {named}, which stays in "
                "force"
            )
        if server_url.configured() != self._url:
            found.append(
                "the restored settings name another database than the records were restored to; if it is "
                "empty, the records are copied there at first use"
            )
        if not self._index.evidence and self._index.inspections:
            found.append(
                "the backup has no images of inspections: records whose images are not here any more say so"
            )
        return tuple(found)


@contextmanager
def _undone_on_error() -> Iterator[ExitStack]:
    """Yield a stack of callbacks that are called, the last first, if the block ends with an exception."""
    undo = ExitStack()
    try:
        yield undo
    except BaseException:
        undo.close()
        raise
    undo.pop_all()


def _move(path: Path, to: Path, undo: ExitStack) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.rename(to)
    undo.callback(to.rename, path)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _never_changes(one: BackedUpFile) -> bool:
    """Return whether a file is one of a save, which versions of the model share on the disk."""
    parts = one.path.split("/")
    return parts[0] == "models" and (
        parts[2:4] == ["versions", bundle.VERSION_FILES] or (len(parts) == 3 and bundle.is_own_file(parts[2]))
    )


def _linked(former: Path, target: Path) -> bool:
    """Give a file a second name; return False where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(former, target)
    except OSError:
        return False
    return True
