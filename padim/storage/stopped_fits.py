"""List and discard fits that were stopped or killed before their model was saved.

A fit of the shell keeps its data in ``MODEL.partial``, a fit of the app in the working folder of a model that
has no manifest yet. A fit that a running process is working on is neither listed nor discarded.
"""

from __future__ import annotations

import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from padim.errors import PadimError
from padim.storage import bundle, leftovers
from padim.storage.atomic import remove_tree
from padim.storage.model_folders import ModelFolders
from padim.storage.resume import Request, images_done, look

__all__ = ["StoppedFit", "at_work", "beside", "discard", "in_folder", "in_workspace", "kept_uploads"]


@dataclass(frozen=True)
class StoppedFit:
    """A stopped fit that can be resumed or discarded.

    Attributes:
        name: name or path of the model being fitted.
        folder: folder with all its data.
        done: number of images that the network has processed.
        begun: start time, in UTC.
        request: the request; None if it was not stored.
        model_id: id of the model for a fit in a workspace; None for a fit of the shell.
    """

    name: str
    folder: Path
    done: int
    begun: datetime
    request: Request | None
    model_id: str | None = None

    @property
    def total(self) -> int | None:
        """Number of images to fit on; None if unknown."""
        return None if self.request is None else self.request.total

    @property
    def resume_command(self) -> str:
        """Shell command that resumes the fit; empty if only the app can resume it, or nothing can."""
        if self.request is None or not self.request.command:
            return ""
        return shlex.join(["python", "-m", "padim", *self.request.command])

    @property
    def images_here(self) -> bool:
        """Whether the images of the fit still exist at their paths."""
        if self.request is None:
            return False
        if self.request.images is not None:
            return Path(self.request.images).exists()
        return bool(self.request.files) and all(Path(path).is_file() for _, path in self.request.files)

    @property
    def can_go_on(self) -> bool:
        """Whether the app can resume the fit."""
        return self.request is not None and self.request.config is not None and self.images_here


def in_workspace(workspace: ModelFolders) -> list[StoppedFit]:
    """List the stopped fits of the app, newest first."""
    return _unsaved(workspace, at_work=False)


def at_work(workspace: ModelFolders) -> list[StoppedFit]:
    """List the app's fits that a running process is working on, whose files must be kept."""
    return _unsaved(workspace, at_work=True)


def _unsaved(workspace: ModelFolders, *, at_work: bool) -> list[StoppedFit]:
    found = []
    for path in _folders(workspace.folder):
        if workspace.is_id(path.name) and not (path / bundle.MANIFEST).exists():
            busy = _busy(workspace, path)
            # Another process may just have saved or deleted it.
            with suppress(FileNotFoundError):
                fit = _described(workspace.name_of(path), path, path / "work", path.name)
                if busy == at_work and path.is_dir() and not (path / bundle.MANIFEST).exists():
                    found.append(fit)
    return sorted(found, key=lambda fit: fit.begun, reverse=True)


def in_folder(folder: Path) -> list[StoppedFit]:
    """List the stopped fits of the shell among the models in a folder."""
    found = (beside(path.with_name(path.name.removesuffix(".partial"))) for path in _folders(folder))
    return [fit for fit in found if fit is not None]


def beside(output: Path) -> StoppedFit | None:
    """Return the stopped fit of the shell for a model at this path, or None."""
    partial = output.with_name(f"{output.name}.partial")
    if look(partial) not in ("begun", "stopped") or leftovers.is_held(partial):
        return None
    return _described(str(output), partial, partial, None)


def discard(fit: StoppedFit, workspace: ModelFolders | None = None) -> None:
    """Delete a stopped fit, with the uploads stored for it.

    Raises:
        PadimError: the fit is running again.
        StorageError: the files cannot be removed.
    """
    uploads = kept_uploads(fit)
    if not fit.folder.is_dir():
        raise PadimError(f"{fit.name}: somebody else has discarded it already")
    # Held until it is deleted, so that nobody resumes it meanwhile.
    with leftovers.held_folder(fit.folder) as acquired:
        if workspace is not None and fit.model_id is not None:
            at_work = not acquired or leftovers.is_held(workspace.lock_file(fit.model_id))
            if at_work or (fit.folder / bundle.MANIFEST).exists():
                raise PadimError(f"{fit.name}: is being fitted; cancel it first")
            workspace.delete(fit.model_id)
        else:
            if not acquired:
                raise PadimError(f"{fit.folder}: a fit is at work there")
            remove_tree(fit.folder)
    if uploads is not None and workspace is not None and uploads.parent == workspace.root / "jobs":
        shutil.rmtree(uploads, ignore_errors=True)
        uploads.with_name(f"{uploads.name}.lock").unlink(missing_ok=True)


def kept_uploads(fit: StoppedFit) -> Path | None:
    """Return the folder with the uploads of a fit, or None if it has none."""
    if fit.request is None or not fit.request.files:
        return None
    return Path(fit.request.files[0][1]).parent


def _busy(workspace: ModelFolders, path: Path) -> bool:
    """Return whether a running process is working on a model."""
    return leftovers.is_held(path) or leftovers.is_held(workspace.lock_file(path.name))


def _described(name: str, folder: Path, record: Path, model_id: str | None) -> StoppedFit:
    request = Request.read(record)
    begun = request.begun if request else datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return StoppedFit(name, folder, images_done(record) or 0, begun, request, model_id)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
