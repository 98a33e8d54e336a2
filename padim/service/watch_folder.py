"""What lies in a watched folder, and which of its files are whole and may be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from padim.data import leftovers
from padim.data.formats import IMAGE_SUFFIXES, UNREADABLE_SUFFIXES
from padim.data.sources import natural_order
from padim.service.watch_state import FileMark

__all__ = ["FolderFindings", "FoundFile", "WaitingFiles", "is_unfinished", "mark_of", "scan"]

# Endings of files that programs rename when they have written them.
_UNFINISHED = (
    *(".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload"),
    *(".writing", ".uploading", ".upload", ".incomplete", ".lock", ".swp", ".!ut", ".bak~"),
)
# Files that are compared with the state in one query.
_STEP = 400


@dataclass(frozen=True)
class FoundFile:
    """A file in the watched folder.

    Attributes:
        path: its path below the folder, with forward slashes; bytes that are no text are escaped.
        place: where it is.
        mark: tells whether it was changed.
    """

    path: str
    place: Path
    mark: FileMark


@dataclass
class FolderFindings:
    """What one look into the folder has found.

    Attributes:
        images: the images that are not done, in natural order.
        done: those that are, if they were asked for.
        passed_over: number of files that are no images, hidden, or leftovers of operating systems.
        unfinished: number of files with a temporary name.
        closed: sub-folders that cannot be read, each with the reason.
    """

    images: list[FoundFile] = field(default_factory=list)
    done: list[FoundFile] = field(default_factory=list)
    passed_over: int = 0
    unfinished: int = 0
    closed: list[str] = field(default_factory=list)


def scan(
    folder: Path,
    unknown: Callable[[Mapping[str, FileMark]], Iterable[tuple[str, FileMark]]],
    *,
    sub_folders: bool = True,
    with_done: int = 0,
) -> FolderFindings:
    """Look into a folder; memory grows with the number of images that are not done, by their names only.

    Links to folders are not followed, nor links that lead out of the folder.

    Args:
        folder: the folder.
        unknown: returns those of some files that are not done.
        sub_folders: whether to look into sub-folders.
        with_done: largest number of files in ``done``.

    Raises:
        OSError: the folder cannot be read.
    """
    findings = FolderFindings()
    some: dict[str, FoundFile] = {}

    def sort_out() -> None:
        left = dict(unknown({path: one.mark for path, one in some.items()}))
        for path, one in some.items():
            if path in left:
                findings.images.append(one)
            elif len(findings.done) < with_done:
                findings.done.append(one)
        some.clear()

    for one in _files(folder, folder, findings, sub_folders=sub_folders):
        some[one.path] = one
        if len(some) >= _STEP:
            sort_out()
    sort_out()
    findings.images.sort(key=lambda one: natural_order(one.path))
    return findings


def _files(folder: Path, root: Path, findings: FolderFindings, *, sub_folders: bool) -> Iterator[FoundFile]:
    with os.scandir(folder) as entries:
        below: list[Path] = []
        for entry in entries:
            name = entry.name
            if leftovers.reason(name) is not None:
                findings.passed_over += 1
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append(folder / name)
                    continue
                found = _file(entry, folder, root, findings)
            except OSError:  # it has gone, or cannot be looked at yet
                continue
            if found is not None:
                yield found
    if not sub_folders:
        return
    for place in below:
        try:
            yield from _files(place, root, findings, sub_folders=True)
        except FileNotFoundError:
            # Only the folder itself must be there; of another it is an everyday thing that it has gone.
            continue
        except OSError as error:
            findings.closed.append(f"{place.relative_to(root).as_posix()} ({error.strerror})")


def _file(entry: os.DirEntry[str], folder: Path, root: Path, findings: FolderFindings) -> FoundFile | None:
    if is_unfinished(entry.name):
        findings.unfinished += 1
        return None
    suffix = PurePosixPath(entry.name).suffix.lower()
    place = folder / entry.name
    if suffix not in IMAGE_SUFFIXES and suffix not in UNREADABLE_SUFFIXES:
        findings.passed_over += 1
        return None
    if entry.is_symlink() and not place.resolve().is_relative_to(root.resolve()):
        findings.passed_over += 1
        return None
    status = place.stat() if os.name == "nt" else entry.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a named pipe would wait for ever
        findings.passed_over += 1
        return None
    path = os.fsencode(place.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
    return FoundFile(path, place, _mark(status))


def is_unfinished(name: str) -> bool:
    """Return whether a file's name says that it is still written, and will be renamed."""
    lower = name.lower()
    return lower.endswith(_UNFINISHED) or lower.startswith("~") or lower.endswith("~")


def mark_of(place: Path) -> FileMark:
    """Return what tells whether a file was changed.

    Raises:
        OSError: it has gone, or its folder has.
    """
    return _mark(place.stat())


def _mark(status: os.stat_result) -> FileMark:
    return FileMark(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class _Waiting:
    """A file that waits: since when it is unchanged, and before when it is not to be tried again."""

    found: FoundFile
    since: float
    not_before: float


class WaitingFiles:
    """Files that wait to be inspected, in the order in which they are: as found, in natural order at a time.

    A file may be read once it was found unchanged for a while. One that cannot be read then is tried again
    until its patience is over.

    Args:
        settle: seconds for which a file must not change.
        patience: seconds after which an unchanged file that cannot be read is refused.
    """

    def __init__(self, settle: float, patience: float) -> None:
        self._settle, self._patience = settle, patience
        self._files: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._files)

    def unsettled(self, now: float) -> int:
        """Return how many files are not known to be whole."""
        return sum(one.not_before > now for one in self._files.values())

    def observe(self, images: Iterable[FoundFile], now: float) -> None:
        """Take in what was found: new and changed files wait from now on, those that have gone do not.

        Args:
            images: all files in the folder that are not done.
            now: the time in seconds.
        """
        before, self._files = self._files, {}
        fresh: dict[str, _Waiting] = {}
        found = {one.path: one for one in images}
        for path, waiting in before.items():
            one = found.pop(path, None)
            if one is None:
                continue
            if one.mark == waiting.found.mark:
                self._files[path] = waiting
            else:
                fresh[path] = _Waiting(one, now, now + self._settle)
        fresh |= {path: _Waiting(one, now, now + self._settle) for path, one in found.items()}
        self._files |= fresh

    def ready(self, now: float) -> Iterator[FoundFile]:
        """Yield the files that may be read, in order; they may be removed and changed meanwhile."""
        for waiting in list(self._files.values()) if len(self._files) < _STEP else self._some_ready(now):
            if waiting.not_before <= now:
                yield waiting.found

    def _some_ready(self, now: float) -> list[_Waiting]:
        some: list[_Waiting] = []
        for waiting in self._files.values():
            if waiting.not_before <= now:
                some.append(waiting)
                if len(some) >= _STEP:
                    break
        return some

    def next_ready(self) -> float | None:
        """Return the time from which a file may be read; None if none waits."""
        return min((one.not_before for one in self._files.values()), default=None)

    def remove(self, path: str) -> None:
        """Forget a file."""
        self._files.pop(path, None)

    def changed(self, found: FoundFile, now: float) -> None:
        """Have a file wait anew, because it is still written."""
        self._files.pop(found.path, None)
        self._files[found.path] = _Waiting(found, now, now + self._settle)

    def unreadable(self, path: str, now: float) -> bool:
        """Have a file that cannot be read wait, and return True; or False if its patience is over."""
        waiting = self._files.get(path)
        if waiting is None or now - waiting.since >= self._patience:
            return False
        pause = max(self._settle, self._patience / 10, 0.05)
        last = waiting.since + self._patience
        self._files[path] = replace(waiting, not_before=min(now + pause, max(last, now)))
        return True
