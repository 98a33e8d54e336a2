"""The size of a workspace on the disk, by what takes it, and its limit (the setting ``workspace_limit``)."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from padim import settings
from padim.errors import WorkspaceFullError

__all__ = ["WorkspaceSizes", "check_room", "has_room", "measured_sizes"]

# Seconds for which a measurement is good enough: measuring reads all folders.
_FRESH = 60.0
_PLACES = {"models": "models", "evidence": "evidence", "bin": "deleted"}
_measured: dict[Path, tuple[float, WorkspaceSizes]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class WorkspaceSizes:
    """Bytes of the files of a workspace; a file with several names counts once.

    Attributes:
        models: models with their versions, libraries and features.
        evidence: images and level maps that are kept with records.
        deleted: the bin.
        other: the records, comparisons and all the rest.
    """

    models: int = 0
    evidence: int = 0
    deleted: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Return the bytes of all files."""
        return self.models + self.evidence + self.deleted + self.other


def measured_sizes(root: str | Path, max_age: float = _FRESH) -> WorkspaceSizes:
    """Return the size of a workspace, measured at most ``max_age`` seconds ago."""
    place = Path(root).absolute()
    # One measurement at a time, for which the others wait rather than reading the same folders.
    with _lock:
        former = _measured.get(place)
        if former is not None and time.monotonic() - former[0] <= max_age:
            return former[1]
        found = dict.fromkeys((*_PLACES.values(), "other"), 0)
        seen: set[tuple[int, int]] = set()
        for top in _entries(place):
            found[_PLACES.get(top.name, "other")] += _size(top, seen)
        sizes = WorkspaceSizes(**found)
        _measured[place] = (time.monotonic(), sizes)
        return sizes


def has_room(root: str | Path, needed: int = 0) -> bool:
    """Return whether a workspace may take so many bytes more."""
    limit = settings.current().workspace_limit
    return limit is None or measured_sizes(root).total + needed <= limit * 1e9


def check_room(root: str | Path, what: str, needed: int = 0) -> None:
    """Refuse what would make a workspace larger than its limit.

    Args:
        root: the workspace's folder.
        what: what needs room; it begins the message.
        needed: bytes that it needs.

    Raises:
        WorkspaceFullError: there is no room for it.
    """
    limit = settings.current().workspace_limit
    if limit is not None and not has_room(root, needed):
        raise WorkspaceFullError.of(what, measured_sizes(root).total, round(limit * 1e9))


def _size(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> int:
    try:
        if entry.is_symlink():
            return 0
        if entry.is_dir():
            return sum(_size(one, seen) for one in _entries(Path(entry.path)))
        found = entry.stat(follow_symlinks=False)
    except OSError:  # it has vanished
        return 0
    if found.st_nlink > 1:
        if (found.st_dev, found.st_ino) in seen:
            return 0
        seen.add((found.st_dev, found.st_ino))
    return found.st_size


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
