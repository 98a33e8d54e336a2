"""Check models, working files, caches and exported scorers for damage, and find killed processes' leftovers.

Checking changes nothing. :func:`sweep` removes leftovers: temporary files with this program's own names that
no running process has locked, and uploads that no stopped fit needs. It never removes a model, a user's file
or a fit that can be resumed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from padim.data.loading import Progress
from padim.errors import PadimError
from padim.methods.moments import PatchStatistics
from padim.network import weights
from padim.output import scorer_seal, scoring_journal
from padim.records import image_files
from padim.storage import bin as model_bin
from padim.storage import bundle, leftovers, stopped_fits, working_files
from padim.storage.bin import DeletedModel
from padim.storage.leftovers import Leftover
from padim.storage.model_folders import ModelFolders
from padim.storage.resume import look
from padim.storage.stopped_fits import StoppedFit

__all__ = [
    "Checked",
    "Diagnosis",
    "FoundKind",
    "StoppedScoring",
    "cache",
    "examine",
    "leftovers_of_cache",
    "leftovers_of_workspace",
    "sweep",
    "workspace",
]

FoundKind = Literal["model", "working files", "cached network", "scorer", "folder"]
_UPLOADS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Checked:
    """Result of checking one file or folder.

    Attributes:
        path: path of the file or folder.
        kind: kind of file or folder.
        problem: what is wrong with it; empty if it is intact.
        remedy: what the user can do about it.
    """

    path: Path
    kind: FoundKind
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class StoppedScoring:
    """A stopped scoring run: its folder, and how many images it has scored."""

    folder: Path
    done: int


@dataclass(frozen=True)
class Diagnosis:
    """Results of checking a workspace, model, folder or cache.

    Attributes:
        checked: results for all files and folders that were checked.
        stopped: fits that can be resumed or discarded.
        scorings: scoring runs that can be resumed.
        leftovers: files and folders that :func:`sweep` would remove.
        in_bin: deleted models that can still be restored.
        in_bin_bytes: the size of their files.
    """

    checked: tuple[Checked, ...] = ()
    stopped: tuple[StoppedFit, ...] = ()
    scorings: tuple[StoppedScoring, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    in_bin: tuple[DeletedModel, ...] = ()
    in_bin_bytes: int = 0

    @property
    def damaged(self) -> tuple[Checked, ...]:
        """Results with a problem."""
        return tuple(one for one in self.checked if one.problem)

    def __add__(self, other: Diagnosis) -> Diagnosis:
        return Diagnosis(
            self.checked + other.checked,
            self.stopped + other.stopped,
            self.scorings + other.scorings,
            self.leftovers + other.leftovers,
            self.in_bin + other.in_bin,
            self.in_bin_bytes + other.in_bin_bytes,
        )


def examine(path: Path, progress: Progress | None = None) -> Diagnosis:
    """Check a workspace, a model, an exported scorer, a folder of results or a folder of models.

    Raises:
        PadimError: the path does not exist, or contains nothing that this program has written.
    """
    if not path.exists() and not path.with_name(f"{path.name}.partial").is_dir():
        raise PadimError(f"{path}: does not exist; give a workspace, a model or an exported scorer")
    if path.is_file():
        beside = leftovers.beside(path.parent, path.name)
        check = _scorer if path.suffix.lower() == ".onnx" else _model
        return Diagnosis((check(path),), _stopped_beside(path), leftovers=tuple(beside))
    if (path / "models").is_dir():
        return workspace(ModelFolders(path), progress)
    if (path / bundle.MANIFEST).exists() or not path.is_dir() or look(_partial(path)) == "stopped":
        return _one_model(path)
    done = scoring_journal.rows_kept(path)
    if scoring_journal.begun_with(path) is not None:
        return Diagnosis((Checked(path, "folder"),), scorings=(StoppedScoring(path, done),))
    found = Diagnosis()
    for inside in sorted(path.iterdir()):
        if inside.is_dir() and ((inside / bundle.MANIFEST).exists() or look(_partial(inside)) == "stopped"):
            found += _one_model(inside)
        elif inside.is_file() and inside.suffix.lower() == ".onnx":
            found += examine(inside)
        elif inside.is_dir() and inside.name.endswith(".partial") and not _plain(inside).exists():
            found += Diagnosis(stopped=_stopped_beside(_plain(inside)))
    if found == Diagnosis():
        raise PadimError(f"{path}: holds no workspace, no model and no exported scorer")
    return found


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _plain(partial: Path) -> Path:
    return partial.with_name(partial.name.removesuffix(".partial"))


def workspace(found: ModelFolders, progress: Progress | None = None) -> Diagnosis:
    """Check all models of a workspace, and list its stopped fits and leftovers."""
    entries = found.models()
    checked: list[Checked] = []
    for done, entry in enumerate(entries):
        if progress is not None:
            progress(done, len(entries), "Checking models")
        checked += _one_model(entry.path).checked
    in_bin = model_bin.contents(found)
    return Diagnosis(
        tuple(checked),
        tuple(stopped_fits.in_workspace(found)),
        leftovers=tuple(leftovers_of_workspace(found)),
        in_bin=tuple(in_bin),
        in_bin_bytes=sum(model_bin.size(one) for one in in_bin),
    )


def leftovers_of_cache() -> list[Leftover]:
    """List the temporary files of killed processes in the cache of networks."""
    cache = weights.cache_folder()
    # Older versions of this program, which have no locks, may be writing there as well.
    return [
        leftover
        for folder in (cache / "backbones", weights.folder())
        for leftover in leftovers.beside(folder, older_than=leftovers.AN_HOUR)
    ]


def cache() -> Diagnosis:
    """Check the cached networks, and list the leftovers in the cache."""
    folder = weights.cache_folder() / "backbones"
    left = leftovers_of_cache()
    return Diagnosis(tuple(_cached(path) for path in sorted(folder.glob("*.onnx"))), leftovers=tuple(left))


def leftovers_of_workspace(found: ModelFolders) -> list[Leftover]:
    """List leftover files and uploads in a workspace, and this user's leftover temporary folders."""
    left = leftovers.in_system_folder()
    for folder in (found.root, found.folder, found.root / "locks"):
        left += leftovers.beside(folder)
    left += leftovers.below(found.root / "evidence")  # of inspections
    if found.folder.is_dir():
        for path in found.folder.iterdir():
            if not path.is_dir() or not found.is_id(path.name):
                continue
            # The image library is written without the model's lock; its files are locked one by one.
            left += leftovers.beside(path / image_files.FOLDER)
            if not leftovers.is_held(found.lock_file(path.name)):
                left += leftovers.beside(path)
                left += leftovers.below(path / "work")
                left += leftovers.below(path / "versions")
    return left + list(_notes_of_killed(found)) + list(_unused_uploads(found))


def _notes_of_killed(found: ModelFolders) -> Iterator[Leftover]:
    """Yield the notes about who holds a model's lock that killed processes have left."""
    for note in sorted((found.root / "locks").glob("*.json")):
        if not leftovers.is_held(note.with_suffix(".lock")):
            with suppress(FileNotFoundError):  # its process has just ended
                yield Leftover(note, note.stat().st_size)


def _unused_uploads(found: ModelFolders) -> Iterator[Leftover]:
    """Yield the uploads for workers that neither a running server nor a stopped fit needs."""
    jobs = found.root / "jobs"
    if not jobs.is_dir():
        return
    needed = {stopped_fits.kept_uploads(fit) for fit in stopped_fits.in_workspace(found)}
    needed |= {stopped_fits.kept_uploads(fit) for fit in stopped_fits.at_work(found)}
    for path in sorted(jobs.iterdir()):
        if path.suffix == ".lock" and not path.with_suffix("").exists() and not leftovers.is_held(path):
            yield Leftover(path, 0)
        if not path.is_dir() or path.is_symlink() or not _UPLOADS.fullmatch(path.name) or path in needed:
            continue
        if not leftovers.is_held(path.with_name(f"{path.name}.lock")):
            yield Leftover(path, sum(file.lstat().st_size for file in path.rglob("*") if file.is_file()))


def sweep(found: list[Leftover] | tuple[Leftover, ...]) -> list[Leftover]:
    """Remove leftovers; return those that were removed."""
    return leftovers.sweep(list(found))


# --- single files and folders -----------------------------------------------------------------------------


def _one_model(path: Path) -> Diagnosis:
    checked = []
    if (path / bundle.MANIFEST).exists():
        checked.append(_model(path))
    if (path / "work").is_dir():
        damaged = working_files.verify(path / "work", PatchStatistics.load)
        checked += [Checked(damage.path, "working files", damage.what, damage.remedy) for damage in damaged]
        if not damaged:
            checked.append(Checked(path / "work", "working files"))
    left = leftovers.beside(path.parent, path.name) + leftovers.beside(path)
    return Diagnosis(tuple(checked), _stopped_beside(path), leftovers=tuple(left))


def _stopped_beside(path: Path) -> tuple[StoppedFit, ...]:
    found = stopped_fits.beside(path)
    return () if found is None else (found,)


def _model(path: Path) -> Checked:
    """Check a model's seal and the hash of every file."""
    try:
        saved = bundle.Bundle(path)
        for name in saved.manifest.get("files", {}):
            saved.bytes(name)
    except PadimError as error:
        remedy = "restore the model from a copy, or fit it again"
        return Checked(path, "model", _without(path, str(error)), remedy)
    return Checked(path, "model")


def _scorer(path: Path) -> Checked:
    try:
        scorer_seal.verify(path)
    except PadimError as error:
        return Checked(path, "scorer", _without(path, str(error)), "export the model again")
    return Checked(path, "scorer")


def _cached(path: Path) -> Checked:
    remedy = "delete it; it is created again when it is needed"
    try:
        recorded = path.with_suffix(".sha256").read_bytes().strip()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Checked(path, "cached network", f"cannot be checked ({error.strerror})", remedy)
    if digest.encode() != recorded:
        return Checked(path, "cached network", "was altered after it was written", remedy)
    return Checked(path, "cached network")


def _without(path: Path, message: str) -> str:
    return message.removeprefix(f"{path}: ")
