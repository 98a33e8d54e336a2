"""A folder that refuses writing, whoever the tests run as: permissions do not bind root."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NAMES = ("mkdir", "rename", "remove", "rmdir", "truncate", "link", "symlink", "utime")
_CHANGES = {f"os.{name}" for name in _NAMES}

# By folder, the error of every write in it. An audit hook stays for good: it looks here.
_refusing: dict[Path, int] = {}
_hooked = False


@contextmanager
def refusing(folder: Path, error: int = errno.EROFS) -> Iterator[list[str]]:
    """Let every write below ``folder`` fail, from whatever thread, as the system would let it fail.

    Args:
        folder: for instance a workspace.
        error: ``EROFS`` for a read-only file system, ``ENOSPC`` for a full disk.

    Yields:
        What was refused so far.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_refuse)
        _hooked = True
    _told.clear()
    _refusing[folder.resolve()] = error
    try:
        yield _told
    finally:
        del _refusing[folder.resolve()]


_told: list[str] = []


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if not _refusing or not (event == "open" or event in _CHANGES):
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITING):
        return
    for path in args[:2]:
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 Path.resolve would raise this event too
            for folder, error in _refusing.items():
                if place == str(folder) or place.startswith(f"{folder}{os.sep}"):
                    _told.append(f"{event} {place}")
                    raise OSError(error, os.strerror(error), place)


def tree(folder: Path) -> dict[str, tuple[float, bytes]]:
    """Every file and folder below, with its time of change and its content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }
