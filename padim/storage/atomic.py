"""Atomic writes: a file is there whole or not at all, also after a power cut."""

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
    """The system's refusal to write, as a sentence with the file and the remedy.

    Args:
        error: as the system raised it.
        path: what was being written; default: the file that ``error`` names.
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


def is_about_writing(error: OSError) -> bool:
    """Whether nothing but a full or a read-only disk can be meant."""
    return error.errno in _FULL or error.errno in (errno.EROFS, errno.EFBIG, errno.EIO)


def refuses_writing(error: OSError) -> bool:
    """Whether an error of saving is a full or a read-only disk or folder; one of reading may look alike."""
    return is_about_writing(error) or error.errno in _READ_ONLY


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the system's errors name ``path`` where they name no file, as those of writing and flushing do."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_atomic(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, make_folder: bool = True
) -> None:
    """Write ``content`` (bytes, or a function that writes to the open file) to ``path`` atomically.

    Without ``make_folder`` a folder that is not there (any more) is not made, and FileNotFoundError raised.

    Raises:
        OSError: it cannot be written; names ``path``, and nothing is left of it.
    """
    with naming(path):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = open_beside(path)
        try:
            with os.fdopen(handle, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":
                    temporary.replace(path)  # while it is held: no other process takes it for a leftover
            if os.name == "nt":
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def open_beside(path: Path) -> tuple[int, Path]:
    """A new file in the folder of ``path``, to be given its name once complete.

    It is held until it is closed: what lies there with such a name and is held by nobody was left by a
    process that was killed (:mod:`padim.storage.leftovers`). Unlike ``tempfile``'s it can be read by whom the
    system's settings let read: a result is no secret.

    Returns:
        The open file's handle, and its path.
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
    """Remove a folder with all in it, in one step for whoever looks: a kill on the way leaves no half of it,
    only a temporary that a later process sweeps.

    Raises:
        OSError: it cannot be removed; names it.
    """
    if not folder.exists():
        return
    gone = _temporary_name(folder)
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where the system lets folders be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
