"""Atomic writes: a file is there whole or not at all, also after a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from padim.errors import StorageError

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def refuses_writing(error: OSError) -> bool:
    """Whether an error says that the disk is full or that nothing may be written there."""
    return error.errno in _FULL | _READ_ONLY


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError raised inside name the file: a failed write to an open file names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_atomic(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, make_folder: bool = True
) -> None:
    """Write ``content`` (bytes, or a function that writes to the open file) to ``path`` atomically.

    Without ``make_folder`` a folder that is not there (any more) is not made, and FileNotFoundError raised.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = open_beside(path)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_beside(path: Path) -> tuple[int, Path]:
    """A new file in the folder of ``path``, to be given its name once complete.

    Unlike ``tempfile``'s it can be read by whom the system's settings let read: a result is no secret.

    Returns:
        The open file's handle, and its path.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        try:
            return os.open(temporary, flags, 0o666), temporary
        except FileExistsError:
            continue


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, where the system lets folders be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
