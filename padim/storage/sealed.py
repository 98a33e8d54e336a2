"""Files that end with a checksum of all bytes before it.

The trailer is eight bytes that name the checksum, and the XXH3-128 itself. An archive (``.npz``) with a
trailer still opens, because readers search for its directory from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import xxhash

from padim.storage.atomic import write_atomic

_NAME = b"XXH3-128"
_TRAILER = len(_NAME) + 16
_PIECE = 2**20


def write_sealed(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file atomically, with its checksum at the end.

    Args:
        path: the file.
        content: bytes, or a function that writes to the open file and may seek in it.
    """

    def write(file: BinaryIO) -> None:
        if callable(content):
            content(file)
        else:
            file.write(content)
        file.flush()
        size = file.seek(0, 2)
        # Read back from the same descriptor, because the content may be too large to hold in memory.
        with open(file.fileno(), "rb", closefd=False) as written:
            digest = _digest(written, size)
        file.seek(size)
        file.write(_NAME + digest)

    write_atomic(path, write)


def is_whole(path: Path) -> bool | None:
    """Return whether a file matches its checksum; None if it does not end with one.

    Raises:
        OSError: the file cannot be read.
    """
    size = path.stat().st_size - _TRAILER
    if size < 0:
        return None
    with path.open("rb") as file:
        file.seek(size)
        trailer = file.read(_TRAILER)
        if not trailer.startswith(_NAME):
            return None
        return _digest(file, size) == trailer[len(_NAME) :]


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the XXH3-128 of the first ``size`` bytes."""
    found = xxhash.xxh3_128()
    file.seek(0)
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        found.update(piece)
        size -= len(piece)
    return found.digest()
