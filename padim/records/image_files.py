"""The files of a model's image library, named by the SHA-256 of their content."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from padim.data.decode import sha256
from padim.errors import ImageError
from padim.storage import leftovers
from padim.storage.atomic import naming, open_beside, sync_folder

FOLDER = "images"


class ImageFiles:
    """The folder ``images`` of a model: each file is complete or does not exist, and is never changed."""

    def __init__(self, model_folder: Path) -> None:
        self.model_folder = model_folder
        self.folder = model_folder / FOLDER

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no file is removed between its writing and its entry in the database.

        Raises:
            FileNotFoundError: the model was deleted.
        """
        if not self.model_folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the model was deleted", str(self.model_folder))
        self.folder.mkdir(exist_ok=True)  # without its parents: a deleted model does not come back
        with leftovers.locked_beside(self.folder):
            yield

    def path(self, digest: str) -> Path:
        """Return the path of the file with this SHA-256."""
        return self.folder / digest

    def holds(self, digest: str, size: int) -> bool:
        """Return whether there is a file with this SHA-256 and this size in bytes."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write files by SHA-256 and flush them to the disk, if not there already; call it while locked."""
        new = False
        for digest, data in files:
            if not self.holds(digest, len(data)):
                _write(self.path(digest), data)
                new = True
        if new:
            sync_folder(self.folder)

    def read(self, digest: str, name: str) -> bytes:
        """Return the content of a file.

        Args:
            digest: its SHA-256.
            name: the user's name of the image, for the error.

        Raises:
            ImageError: the file is gone, or it is no longer what was stored.
        """
        try:
            data = self.path(digest).read_bytes()
        except OSError as error:
            reason = f"its file is gone from the image library ({self.path(digest)}); add the image again"
            raise ImageError(name, reason) from error
        if sha256(data) != digest:
            reason = f"its file in the image library was altered ({self.path(digest)}); add the image again"
            raise ImageError(name, reason)
        return data

    def remove(self, digest: str) -> None:
        """Remove a file, if it is there; call it while locked."""
        with suppress(FileNotFoundError):
            self.path(digest).unlink()

    def sweep(self, known: set[str]) -> list[str]:
        """Remove files without an entry, which a killed process left; call it while locked.

        Args:
            known: SHA-256 of the files to keep.

        Returns:
            The names of the files removed.
        """
        found = [path.name for path in self.folder.iterdir() if _is_digest(path.name)]
        removed = [name for name in found if name not in known]
        for name in removed:
            self.remove(name)
        leftovers.sweep(leftovers.beside(self.folder))
        return removed


def _write(path: Path, data: bytes) -> None:
    """Write one file as a whole; its folder is flushed later, once for several."""
    with naming(path):
        handle, temporary = open_beside(path)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":
                    temporary.replace(path)  # while locked, so that no other process sweeps it as a leftover
            if os.name == "nt":
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_digest(name: str) -> bool:
    return len(name) == 64 and all(character in "0123456789abcdef" for character in name)
