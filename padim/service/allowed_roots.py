"""Folders of this machine that programs may name files in; no other file is read for them."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from padim.errors import ImageError, PadimError
from padim.text import clipped, megabytes

__all__ = ["AllowedRoots", "PathNotAllowedError"]


class PathNotAllowedError(PadimError):
    """A path that is not below an allowed folder; whether something is there is not said."""


class AllowedRoots:
    """The folders below which a program may name an image by its path.

    Args:
        roots: folders; symbolic links below them that lead elsewhere are not followed.
        how: how a folder is allowed, for the messages, such as "--allow-root DIR".

    Raises:
        PadimError: one is not a folder.
    """

    def __init__(self, roots: Sequence[str | Path], *, how: str = "--allow-root DIR") -> None:
        self._how = how
        self._roots: list[Path] = []
        for root in roots:
            if not Path(root).is_dir():
                raise PadimError(f"{root}: is not a folder, so that no image below it can be read")
            self._roots.append(Path(root).resolve())

    def __bool__(self) -> bool:
        return bool(self._roots)

    def find(self, path: str) -> Path:
        """Return the file of a path, which is absolute or relative to one of the folders.

        Raises:
            PathNotAllowedError: it is not below one of the folders.
            ImageError: it is, and there is no such file.
        """
        shown = clipped(path, 200)
        if not self._roots:
            raise PathNotAllowedError(
                f"{shown}: no folder is allowed to be read from; start the service with {self._how}"
            )
        if not path or "\0" in path:
            raise PathNotAllowedError(f"{shown or 'an empty path'}: is no path of a file")
        below: Path | None = None
        for root in self._roots:
            try:
                place = (root / path).resolve()
            except (OSError, RuntimeError, ValueError):  # a circle of links, or a name that is too long
                continue
            if place.is_relative_to(root) and place != root:
                below = place
                if _is_file(place):
                    return place
        if below is None:
            raise PathNotAllowedError(
                f"{shown}: is not below an allowed folder; put it there, or allow its folder with {self._how}"
            )
        raise ImageError(shown, "there is no such file")

    def read(self, path: str, most: int, setting: str) -> tuple[str, bytes]:
        """Return the name and the content of a file.

        Args:
            path: as for :meth:`find`.
            most: largest size in bytes.
            setting: how that is set, for the message.

        Raises:
            PathNotAllowedError, ImageError: as for :meth:`find`.
            ImageError: it is larger, or cannot be read.
        """
        place = self.find(path)
        try:
            with place.open("rb") as file:
                content = file.read(most + 1)
        except OSError as error:
            raise ImageError(clipped(path, 200), f"cannot be read: {error.strerror or error}") from error
        if len(content) > most:
            raise ImageError(
                clipped(path, 200), f"is larger than {megabytes(most)}, the limit set by {setting}"
            )
        return place.name, content


def _is_file(place: Path) -> bool:
    try:
        return stat.S_ISREG(place.stat().st_mode)
    except OSError:
        return False
