"""Fits that were stopped or killed before their model was saved: which there are, and discarding them.

A fit of the shell keeps what it has done in ``MODEL.partial``, one of the app in the working folder of a
model that has no manifest yet. One that a living process is at work on is never listed and never discarded.
"""

from __future__ import annotations

import shlex
import shutil
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
    """A fit that can be gone on with or discarded.

    Attributes:
        name: what it was to become.
        folder: all there is of it.
        done: how many images the network has seen.
        begun: when, in UTC.
        request: what was asked for; None where that was not kept.
        model_id: of a fit in a workspace; None for one of the shell.
    """

    name: str
    folder: Path
    done: int
    begun: datetime
    request: Request | None
    model_id: str | None = None

    @property
    def total(self) -> int | None:
        """How many images there were."""
        return None if self.request is None else self.request.total

    @property
    def resume_command(self) -> str:
        """What a person types to go on with it; empty where only the app can, or nobody."""
        if self.request is None or not self.request.command:
            return ""
        return shlex.join(["python", "-m", "padim", *self.request.command])

    @property
    def images_here(self) -> bool:
        """Whether the images it was begun with are still where they were."""
        if self.request is None:
            return False
        if self.request.images is not None:
            return Path(self.request.images).exists()
        return bool(self.request.files) and all(Path(path).is_file() for _, path in self.request.files)

    @property
    def can_go_on(self) -> bool:
        """Whether the app can go on with it."""
        return self.request is not None and self.request.config is not None and self.images_here


def in_workspace(workspace: ModelFolders) -> list[StoppedFit]:
    """The stopped fits of the app, newest first."""
    return _unsaved(workspace, at_work=False)


def at_work(workspace: ModelFolders) -> list[StoppedFit]:
    """The fits of the app that a living process is at work on: not stopped, but what they need is needed."""
    return _unsaved(workspace, at_work=True)


def _unsaved(workspace: ModelFolders, *, at_work: bool) -> list[StoppedFit]:
    found = [
        _described(workspace.name_of(path), path, path / "work", path.name)
        for path in _folders(workspace.folder)
        if workspace.is_id(path.name)
        and not (path / bundle.MANIFEST).exists()
        and _busy(workspace, path) == at_work
    ]
    return sorted(found, key=lambda fit: fit.begun, reverse=True)


def in_folder(folder: Path) -> list[StoppedFit]:
    """The stopped fits of the shell among the models in a folder."""
    found = (beside(path.with_name(path.name.removesuffix(".partial"))) for path in _folders(folder))
    return [fit for fit in found if fit is not None]


def beside(output: Path) -> StoppedFit | None:
    """The stopped fit of the shell for a model in this place."""
    partial = output.with_name(f"{output.name}.partial")
    if look(partial) not in ("begun", "stopped") or leftovers.is_held(partial):
        return None
    return _described(str(output), partial, partial, None)


def discard(fit: StoppedFit, workspace: ModelFolders | None = None) -> None:
    """Remove a stopped fit, with uploads that were kept for it.

    Raises:
        PadimError: it is at work again.
        StorageError: it cannot be removed.
    """
    uploads = kept_uploads(fit)
    if workspace is not None and fit.model_id is not None:
        if _busy(workspace, fit.folder) or (fit.folder / bundle.MANIFEST).exists():
            raise PadimError(f"{fit.name}: is being fitted; cancel it first")
        workspace.delete(fit.model_id)
    else:
        if leftovers.is_held(fit.folder):
            raise PadimError(f"{fit.folder}: a fit is at work there")
        remove_tree(fit.folder)
    if uploads is not None and workspace is not None and uploads.parent == workspace.root / "jobs":
        shutil.rmtree(uploads, ignore_errors=True)
        uploads.with_name(f"{uploads.name}.lock").unlink(missing_ok=True)


def kept_uploads(fit: StoppedFit) -> Path | None:
    """The folder with the uploads that a fit was begun with."""
    if fit.request is None or not fit.request.files:
        return None
    return Path(fit.request.files[0][1]).parent


def _busy(workspace: ModelFolders, path: Path) -> bool:
    """Whether a living process is at work on a model."""
    return leftovers.is_held(path) or leftovers.is_held(workspace.lock_file(path.name))


def _described(name: str, folder: Path, record: Path, model_id: str | None) -> StoppedFit:
    request = Request.read(record)
    begun = request.begun if request else datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return StoppedFit(name, folder, images_done(record) or 0, begun, request, model_id)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
