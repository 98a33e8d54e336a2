"""Watched folders as the Line page shows them: what runs, what stands in the way, and what a click does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from padim.records.watches import WatchedFolder, Watches, WatchOptions
from padim.service.watch_status import WatchPhase, WatchStatus, read_status
from ui.app import person, state, workspace
from ui.app.hosted import HOSTED
from ui.files import folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padim.storage.model_folders import Entry

__all__ = [
    "ShownWatch",
    "add",
    "all_shown",
    "remove",
    "removed",
    "restore",
    "set_wanted",
    "shown_path",
    "target_words",
    "targets",
]

# What a watch does, as far as a user is concerned: as its process says, or why there is none.
ShownPhase = WatchPhase | Literal["not running"]


@dataclass(frozen=True)
class ShownWatch:
    """One watched folder with what is known of its process.

    Attributes:
        watch: the watch on record.
        status: what its process has last said; None if there was none yet.
        phase: what it does now.
        problem: what stands in its way, a sentence; empty if nothing does.
        log: file of the server with what its last process wrote; None if none ended too early.
    """

    watch: WatchedFolder
    status: WatchStatus | None
    phase: ShownPhase
    problem: str = ""
    log: Path | None = None

    def count(self, name: str) -> int:
        """Return one of the counts of :class:`padim.service.watch_status.WatchStatus`; 0 if there is none."""
        return 0 if self.status is None else int(self.status.counts.get(name, 0))


@dataclass
class _Removed:
    """The watches that this page has taken off the list, the latest last, with whether they were to run."""

    watches: list[tuple[WatchedFolder, bool]] = field(default_factory=list)


def _records() -> Watches:
    return Watches(workspace.root())


def all_shown() -> list[ShownWatch]:
    """Return the watched folders of the workspace in the order in which they were entered.

    Raises:
        PadimError: the database cannot be read.
    """
    return [_shown(watch) for watch in _records().all()]


def _shown(watch: WatchedFolder) -> ShownWatch:
    status = read_status(watch.output)
    if status is not None and status.uid not in ("", watch.uid):
        status = None
    if status is not None and status.running:
        return ShownWatch(watch, status, status.phase if watch.wanted else "stopping", status.error)
    if not watch.wanted:
        return ShownWatch(watch, status, "stopped")
    if watch.starter == "shell":
        return ShownWatch(watch, status, "not running", "It was started from a shell, and has ended there.")
    processes = HOSTED.watches
    if processes is None:
        return ShownWatch(watch, status, "not running", "This server starts no processes.")
    ended = processes.ended(watch.uid)
    if ended is None:
        return ShownWatch(watch, status, "starting")
    said = status.error if status is not None and status.phase == "failed" else ""
    why = said or ended.message or f"Its process ended with code {ended.code}."
    return ShownWatch(watch, status, "failed", why, ended.log)


# -- what inspects ---------------------------------------------------------------------------------------


def targets(entries: Sequence[Entry]) -> dict[str, str]:
    """Return what can inspect a folder, by target: models by name, and part numbers with their model.

    Raises:
        PadimError: the recipes cannot be read.
    """
    from padim.records.recipes import Recipes

    names = workspace.distinct_names([entry for entry in entries if not entry.broken])
    found = dict(names)
    for recipe in Recipes(workspace.root()).all():
        # A target that is a model's id is that model.
        if recipe.model_id in names and recipe.part_number not in found:
            found[recipe.part_number] = f"Part number {recipe.part_number} → {names[recipe.model_id]}"
    return found


def target_words(target: str, known: dict[str, str], status: WatchStatus | None) -> str:
    """Return what a target is called: as in :func:`targets`, or as its process has said."""
    if target in known:
        return known[target]
    return status.model_name if status is not None and status.model_name else target


def shown_path(path: Path) -> str:
    """Return a path relative to the folder that is open to the app, or whole if it is below none."""
    for root in folders.roots():
        if path.is_relative_to(root) and path != root:
            return path.relative_to(root).as_posix()
    return str(path)


# -- what a click does -----------------------------------------------------------------------------------


def add(target: str, folder: str, output: str, move_to: str, options: dict[str, str | bool]) -> WatchedFolder:
    """Watch a folder from now on.

    Args:
        target: what inspects, as in :func:`targets`.
        folder: the folder, relative to one that is open to the app.
        output: the folder for results; empty: beside it, with "-results" at the end of its name.
        move_to: the folder that inspected files are moved to; empty: they stay.
        options: further options of :class:`padim.records.watches.WatchOptions`.

    Raises:
        FolderError: a folder is not below one that is open to the app.
        PadimError: the folders do not go together, or another watch has one of them.
    """
    source = folders.resolve(folder)
    if not source.is_dir():
        raise folders.FolderError(f"“{folder}” is a file. Name the folder whose images are inspected.")
    if output.strip():
        results = folders.place(output)
    elif source in folders.roots():
        raise folders.FolderError("Name a folder for the results: there is none beside the watched one.")
    else:
        results = source.with_name(f"{source.name}-results")
    moved = str(folders.place(move_to)) if move_to.strip() else ""
    watch = _records().add(
        target,
        source,
        results,
        person.name(),
        options=WatchOptions.of({"who": person.name(), **options, "move_to": moved}),
    )
    _look(watch.uid)
    return watch


def set_wanted(watch: WatchedFolder, wanted: bool) -> None:
    """Start or stop a watch; one that a shell has started is the app's from then on, if it is started here.

    Raises:
        PadimError: it cannot be stored.
    """
    if wanted and watch.starter == "shell":
        _records().add(watch.target, watch.folder, watch.output, person.name(), options=watch.options)
    else:
        _records().set_wanted(watch.uid, wanted)
    _look(watch.uid)


def remove(watch: WatchedFolder) -> None:
    """Take a watch off the list, and have it stop.

    Raises:
        PadimError: it cannot be stored.
    """
    _records().remove(watch.uid)
    state.of(_Removed).watches.append((watch, watch.wanted))
    _look(watch.uid)


def removed() -> WatchedFolder | None:
    """Return the watch that this page has last taken off the list and not put back."""
    watches = state.of(_Removed).watches
    return watches[-1][0] if watches else None


def restore() -> None:
    """Put back the watch that this page has last taken off the list; it runs again if it did.

    Raises:
        PadimError: another watch has its folder meanwhile.
    """
    watches = state.of(_Removed).watches
    if not watches:
        return
    watch, wanted = watches[-1]
    _records().restore(watch.uid)
    watches.pop()
    if wanted:
        _records().set_wanted(watch.uid, True)
        _look(watch.uid)


def _look(uid: str) -> None:
    """Have the server look at once whether a process is to be started."""
    if (processes := HOSTED.watches) is not None:
        processes.look_now(uid)
