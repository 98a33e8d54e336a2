"""Write files atomically: a file is either complete or does not exist, even after a power failure."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from padim.errors import StorageError
from padim.storage.leftovers import hold, still_there

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def explain_os_error(error: OSError, path: Path | None = None) -> StorageError:
    """Convert an OSError of writing to a StorageError whose message gives the file and the remedy.

    Args:
        error: the error that the system raised.
        path: the file being written; default: the file that ``error`` names.
    """
    place = path or (Path(os.fsdecode(error.filename)) if error.filename else None)
    named = f"{place}: " if place else ""
    if error.errno in _FULL:
        what = "no space left on the disk; free some space there, and then do it again"
    elif error.errno in _READ_ONLY:
        what = "cannot be written, the folder is read-only for this program; what is saved there is unchanged"
    else:
        what = f"cannot be written ({error.strerror or error}); check the disk, and then do it again"
    return StorageError(f"{named}{what}", place, read_only=error.errno in _READ_ONLY)


def is_full(error: OSError) -> bool:
    """Return whether an error means a full disk, or a full quota."""
    return error.errno in _FULL


def is_about_writing(error: OSError) -> bool:
    """Return whether an error can only mean a full or read-only disk."""
    return error.errno in _FULL or error.errno in (errno.EROFS, errno.EFBIG, errno.EIO)


def refuses_writing(error: OSError) -> bool:
    """Return whether an error of saving means a full or read-only disk or folder.

    Errors of reading may have the same codes, so use it for errors of saving only.
    """
    return is_about_writing(error) or error.errno in _READ_ONLY


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add ``path`` to OSErrors that name no file, as those of writing and flushing do."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_atomic(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, make_folder: bool = True
) -> None:
    """Write a file atomically.

    Args:
        path: the file.
        content: bytes, or a function that writes to the open file, and may read what it has written.
        make_folder: whether to create a missing folder; otherwise FileNotFoundError is raised.

    Raises:
        OSError: the file cannot be written; the error names ``path``, and no partial file remains.
    """
    with naming(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = open_beside(path)
        try:
            with os.fdopen(handle, "w+b") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":
                    temporary.replace(path)  # while locked, so that no other process sweeps it as a leftover
            if os.name == "nt":
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def open_beside(path: Path) -> tuple[int, Path]:
    """Create a temporary file in the folder of ``path``, to be renamed to ``path`` once it is complete.

    It is locked until it is closed: an unlocked file with such a name was left by a process that was killed
    (:mod:`padim.storage.leftovers`). Unlike the files of ``tempfile`` it has the permissions that the
    system's settings give, because a result is not secret.

    Returns:
        The open file's descriptor and its path.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = _temporary_name(path)
        try:
            handle = os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue
        hold(handle, wait=True)
        if still_there(handle, temporary):
            return handle, temporary
        os.close(handle)


def _temporary_name(path: Path) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"


def remove_tree(folder: Path) -> None:
    """Remove a folder with its content, atomically for other processes.

    The folder is renamed first. A process killed on the way leaves no half of it, only a temporary folder
    that a later process sweeps.

    Raises:
        OSError: the folder cannot be removed; the error names it.
    """
    if not folder.exists():
        return
    renamed = _temporary_name(folder)
    folder.rename(renamed)
    shutil.rmtree(renamed, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Flush a rename in ``folder`` to the disk; does nothing on Windows, where folders cannot be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file, which is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
