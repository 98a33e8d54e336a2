"""Temporary files and folders: held by the process that makes them, swept once that process has died.

A temporary is held with the system's advisory lock on the file or folder itself, which ends with the process
however it ends: no process number to mistake, nothing to clean up. What carries the name of a temporary of
this program and is held by nobody was left by a process that was killed. Where the system or the file system
has no such locks, nothing is swept.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# ``.name.1a2b3c4d.tmp``: of files that write_atomic writes, of folders that are made whole or removed.
_BESIDE = re.compile(r"\.(?P<name>.+)\.[0-9a-z_]{8}\.tmp")
# Folders in the system's place for temporary ones.
_SCRATCH = "padim-scratch-"
# Whether this process has swept those of killed ones there: once, before it makes the first of its own.
_swept: list[bool] = []
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + r"[0-9a-z_]{8}")
# Seconds; for places that programs share which may be older than these locks.
AN_HOUR = 3600.0


@dataclass(frozen=True)
class Leftover:
    """A temporary file or folder that no living process holds.

    Attributes:
        path: where it is.
        bytes: its size, of a folder with all in it.
    """

    path: Path
    bytes: int


def hold(handle: int, *, wait: bool = False) -> Literal["held", "taken", "unknown"]:
    """Hold an open file or folder until it is closed.

    Args:
        handle: of the open file or folder.
        wait: until whoever holds it lets go; a sweep holds what it looks at for a moment.

    Returns:
        ``held``: it is ours now. ``working_files``: another process, or another handle of this one, holds it.
        ``unknown``: the file system has no such locks.
    """
    if fcntl is None:
        return "unknown"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return "taken"
    except OSError:
        return "unknown"
    return "held"


def still_there(handle: int, path: Path) -> bool:
    """Whether an open file or folder still has its name: between opening and holding it may be swept."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


@contextmanager
def held_folder(folder: Path) -> Iterator[bool]:
    """Hold a folder for as long as the block lasts; gives False where somebody else holds it."""
    if os.name == "nt":
        yield True  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield hold(handle) != "taken"
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a living process holds this file or folder, or that cannot be told."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return hold(handle) != "held"
    finally:
        os.close(handle)


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A temporary folder that goes with the object; a later process sweeps that of one that was killed."""

    def __init__(self, *, beside: Path | None = None) -> None:
        """
        Args:
            beside: make it in the folder of this file, named after it; default: the system's place.
        """
        if beside is None and not _swept:
            _swept.append(True)
            sweep(in_system_folder())
        while True:
            if beside is None:
                super().__init__(prefix=_SCRATCH)
            else:
                super().__init__(prefix=f".{beside.name}.", suffix=".tmp", dir=beside.parent)
            if os.name == "nt":
                return
            handle = os.open(self.name, os.O_RDONLY)
            hold(handle, wait=True)
            if still_there(handle, Path(self.name)):
                break
            os.close(handle)
            self.cleanup()
        # The lock ends with this object, after the folder has gone.
        self._release = weakref.finalize(self, os.close, handle)

    def cleanup(self) -> None:
        super().cleanup()
        release = getattr(self, "_release", None)
        if release is not None:
            release()


def is_temporary_name(name: str) -> bool:
    """Whether a file or folder is called like a temporary of this program."""
    return _BESIDE.fullmatch(name) is not None


def beside(folder: Path, name: str | None = None, *, older_than: float = 0.0) -> list[Leftover]:
    """Temporaries directly in ``folder`` that nobody holds.

    Args:
        folder: where to look.
        name: only those of a file or folder of that name; default: of any.
        older_than: only those that were last written so many seconds ago.
    """
    return [
        found
        for path in _entries(folder)
        if (match := _BESIDE.fullmatch(path.name)) and name in (None, match["name"])
        if (found := _leftover(path, older_than)) is not None
    ]


def below(folder: Path) -> list[Leftover]:
    """Temporaries in ``folder`` and all its sub-folders, which are this program's own."""
    found = beside(folder)
    gone = {leftover.path for leftover in found}
    for path in _entries(folder):
        if path not in gone and path.is_dir() and not path.is_symlink() and not _BESIDE.fullmatch(path.name):
            found += below(path)
    return found


def in_system_folder() -> list[Leftover]:
    """Temporary folders of killed processes of this user in the system's place for them."""
    found = []
    for path in _entries(Path(tempfile.gettempdir())):
        if _SCRATCH_NAME.fullmatch(path.name):
            with suppress(OSError):
                about = path.lstat()
                own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
                if stat.S_ISDIR(about.st_mode) and own and (leftover := _leftover(path, 0.0)) is not None:
                    found.append(leftover)
    return found


def sweep(found: list[Leftover]) -> list[Leftover]:
    """Remove leftovers; returns those that went."""
    gone = []
    for leftover in found:
        with suppress(OSError):
            # Held while it is removed: who has just made it waits, sees that it has gone, and makes another.
            handle = os.open(leftover.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                if hold(handle) != "held":
                    continue
                if leftover.path.is_dir():
                    shutil.rmtree(leftover.path)
                else:
                    leftover.path.unlink()
                gone.append(leftover)
            finally:
                os.close(handle)
    return gone


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _leftover(path: Path, older_than: float) -> Leftover | None:
    try:
        about = path.lstat()
    except OSError:
        return None
    if stat.S_ISLNK(about.st_mode) or time.time() - about.st_mtime < older_than or is_held(path):
        return None
    size = about.st_size
    if stat.S_ISDIR(about.st_mode):
        size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    return Leftover(path, size)
