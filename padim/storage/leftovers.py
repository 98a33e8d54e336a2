"""Temporary files and folders that are locked by their process, and removed when that process was killed.

A process holds the system's advisory lock on its temporary file or folder. The lock ends with the process,
however it ends: there is no process number to mistake and nothing to clean up. A file or folder that has the
name of this program's temporaries and is not locked was left by a process that was killed. Where the system
or the file system has no such locks, nothing is removed.
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

from filelock import FileLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# ``.name.1a2b3c4d.tmp``: files that write_atomic writes, and folders that are being created or removed.
_BESIDE = re.compile(r"\.(?P<name>.+)\.[0-9a-z_]{8}\.tmp")
# Prefix of the names in the system's folder for temporary files.
_SCRATCH = "padim-scratch-"
# Not empty once this process has removed the leftovers there, which it does before it creates the first
# folder.
_swept: list[bool] = []
_SCRATCH_NAME = re.compile(re.escape(_SCRATCH) + r"[0-9a-z_]{8}")
# Seconds; age from which files are leftovers in folders shared with older versions, which had no locks.
AN_HOUR = 3600.0


@dataclass(frozen=True)
class Leftover:
    """A temporary file or folder that no running process has locked.

    Attributes:
        path: where it is.
        bytes: its size, for a folder with its content.
    """

    path: Path
    bytes: int


def hold(handle: int, *, wait: bool = False) -> Literal["held", "taken", "unknown"]:
    """Lock an open file or folder until it is closed.

    Args:
        handle: descriptor of the open file or folder.
        wait: whether to wait until the lock is free; a sweep locks what it examines for a moment.

    Returns:
        ``held``: this descriptor has the lock now. ``taken``: another process, or another descriptor of this
        process, has it. ``unknown``: the file system has no such locks.
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
    """Return whether an open file still has its name: it may have been swept between opening and locking."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


@contextmanager
def held_folder(folder: Path) -> Iterator[bool]:
    """Lock a folder for the duration of the block; yield False if another process has the lock."""
    if os.name == "nt":
        yield True  # folders cannot be opened on Windows
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Its holder may have removed it between opening and locking.
        yield hold(handle) != "taken" and still_there(handle, folder)
    finally:
        os.close(handle)


@contextmanager
def locked_beside(path: Path) -> Iterator[None]:
    """Lock a file for the duration of the block by a lock file beside it, ``.name.lock``.

    The file itself cannot carry the lock, because saving replaces it. The lock file is removed at the end;
    one left by a killed process is free, and the next holder removes it.
    """
    lock = path.with_name(f".{path.name}.lock")
    if fcntl is None:
        with FileLock(lock):
            yield
        return
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        hold(handle, wait=True)
        if still_there(handle, lock):
            break
        os.close(handle)  # its former holder has removed it
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def is_held(path: Path) -> bool:
    """Return whether a running process has locked this file or folder; True also if that is unknown."""
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
    """Temporary folder that is removed with the object; a later process removes that of a killed process."""

    def __init__(self, *, beside: Path | None = None) -> None:
        """Create the folder and lock it.

        Args:
            beside: create it in the folder of this file, named after it; default: the system's folder for
                temporary files.
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
            try:
                handle = os.open(self.name, os.O_RDONLY)
            except FileNotFoundError:  # swept by another process before it could be locked
                self.cleanup()
                continue
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
    """Return whether a name is that of a temporary file or folder of this program."""
    return _BESIDE.fullmatch(name) is not None


def beside(folder: Path, name: str | None = None, *, older_than: float = 0.0) -> list[Leftover]:
    """List the temporaries directly in ``folder`` that no process has locked.

    Args:
        folder: the folder to search.
        name: only those of a file or folder of that name; default: all.
        older_than: only those that were last written at least so many seconds ago.
    """
    return [
        found
        for path in _entries(folder)
        if (match := _BESIDE.fullmatch(path.name)) and name in (None, match["name"])
        if (found := _leftover(path, older_than)) is not None
    ]


def below(folder: Path) -> list[Leftover]:
    """List the unlocked temporaries in a folder of this program and all its sub-folders."""
    found = beside(folder)
    known = {leftover.path for leftover in found}
    for path in _entries(folder):
        if path not in known and path.is_dir() and not path.is_symlink() and not _BESIDE.fullmatch(path.name):
            found += below(path)
    return found


def in_system_folder() -> list[Leftover]:
    """List the folders that killed processes of this user left in the system's folder for temporary files."""
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
    """Remove leftovers; return those that were removed."""
    removed = []
    for leftover in found:
        with suppress(OSError):
            # Locked while it is removed: a process that has just created it waits for the lock, sees that the
            # file is gone, and creates another.
            handle = os.open(leftover.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                if hold(handle) != "held":
                    continue
                if leftover.path.is_dir():
                    shutil.rmtree(leftover.path)
                else:
                    leftover.path.unlink()
                removed.append(leftover)
            finally:
                os.close(handle)
    return removed


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
