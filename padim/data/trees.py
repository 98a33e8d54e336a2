"""File trees that labelled data sets are read from: a folder, a zip archive, or a browser's uploads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from padim.data import leftovers
from padim.data.account import PassedOver
from padim.data.label_words import says_masks
from padim.data.sources import (
    ANNOTATION_SUFFIX,
    TABLE_SUFFIXES,
    File,
    FolderSource,
    UploadSource,
    not_an_image,
    read_plain,
    unique_names,
)
from padim.errors import ImageError

# VisA's table of its parts' splits, which lies beside the folder of a part.
SPLIT_TABLE = "split_csv/1cls.csv"
ANNOTATION_TABLE = "image_anno.csv"


class ImageTree(Protocol):
    """Files that can be read by name: a folder, a zip archive or uploads.

    Attributes:
        images: names of the image files in natural order.
        tables: names of the CSV files.
        documents: names of the JSON files, which may be annotations; they are among ``passed_over`` too.
        skipped: one error with the reason for each file that cannot be read.
        passed_over: the files that are no images of the user's, with the reason.
    """

    images: list[str]
    tables: list[str]
    documents: list[str]
    skipped: list[ImageError]
    passed_over: list[PassedOver]

    def read(self, name: str) -> bytes:
        """Return the bytes of the file ``name``; raise ImageError if it cannot be read."""

    def restart(self) -> None:
        """Prepare for another iteration over the files; called before each one."""


class FolderTree:
    """File tree of a folder; masks and VisA's table beside it get names that begin with ``../``.

    Attributes:
        root: the folder.
        images, tables, documents, skipped, passed_over: as for :class:`ImageTree`.
    """

    def __init__(self, path: Path, beside: bool = False) -> None:
        """List the files of a folder.

        Args:
            path: the folder.
            beside: whether a folder of masks and VisA's table beside it belong to it.
        """
        self._paths, self.skipped, self.passed_over = FolderSource(path).paths()
        self.root = path.resolve()
        above = self.root.parent
        # VisA's are in the folder of a part, which an unpacked archive may have put into one more.
        below = [file for depth in ("*", "*/*", "*/*/*") for file in path.glob(depth)]
        tables = [file for file in below if _is_table(file, path)]
        found = {
            table.relative_to(path).as_posix(): table
            for table in sorted(tables)
            if table.resolve().is_relative_to(self.root)
        }
        if beside and not says_masks(self.root.name):
            self._add_masks_beside(path, above)
            split = (above / SPLIT_TABLE).resolve()
            # A link beside the folder must stay within the parent, as a link in the folder must stay in it.
            if (path / ANNOTATION_TABLE).is_file() and split.is_file() and split.is_relative_to(above):
                found[f"../{SPLIT_TABLE}"] = split
        self.images, self.tables = list(self._paths), list(found)
        self._paths |= found
        self.passed_over = [one for one in self.passed_over if one.name not in found]
        documents = {
            one.name: path / one.name
            for one in self.passed_over
            if _may_annotate(one) and (path / one.name).resolve().is_relative_to(self.root)
        }
        self.documents = list(documents)
        self._paths |= documents

    def _add_masks_beside(self, path: Path, above: Path) -> None:
        if any(says_masks(entry.name) for entry in path.iterdir() if entry.is_dir()):
            return
        try:
            beside = sorted(entry for entry in above.iterdir() if says_masks(entry.name) and entry.is_dir())
        except OSError:  # a parent folder may be closed to this user
            return
        for entry in beside:
            folder = entry.resolve()
            if folder.is_relative_to(above):
                masks, _, _ = FolderSource(folder).paths()
                self._paths |= {f"../{entry.name}/{name}": file for name, file in masks.items()}

    def read(self, name: str) -> bytes:
        """Return the bytes of the file ``name``; raise ImageError if it cannot be read."""
        return read_plain(self._paths[name], name)

    def restart(self) -> None:
        """Do nothing: a folder can be read as often as needed."""


def _is_table(path: Path, root: Path) -> bool:
    try:
        if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
            return False
    except OSError:  # in a folder that may not be entered; the account of the files names it
        return False
    return leftovers.outermost(path.relative_to(root).parts) is None


def _may_annotate(one: PassedOver) -> bool:
    """Return whether a file that is no image may be annotations of images: a JSON that is no leftover."""
    return not one.system and one.name.lower().endswith(ANNOTATION_SUFFIX)


class UploadTree:
    """File tree of single uploads, whose names contain their folders."""

    def __init__(self, files: Sequence[tuple[str, File]]) -> None:
        """Take uploaded files.

        Args:
            files: name and content of each.
        """
        named = [(name.replace("\\", "/"), file) for name, file in files]
        tables = [
            (name, file)
            for name, file in named
            if name.lower().endswith(TABLE_SUFFIXES) and leftovers.outermost(name.split("/")) is None
        ]
        documents = [
            (name, file)
            for name, file in named
            if name.lower().endswith(ANNOTATION_SUFFIX) and leftovers.outermost(name.split("/")) is None
        ]
        images = UploadSource([one for one in named if one not in tables and one not in documents])
        self._files = dict(unique_names(iter([*tables, *documents, *images.files().items()])))
        self.skipped = list(images.skipped)
        self.tables = sorted(name for name in self._files if name.lower().endswith(TABLE_SUFFIXES))
        self.documents = sorted(name for name in self._files if name.lower().endswith(ANNOTATION_SUFFIX))
        self.passed_over = [
            *images.passed_over,
            *(PassedOver(name, not_an_image(name)) for name in self.documents),
        ]
        self.images = sorted(self._files.keys() - set(self.tables) - set(self.documents))

    def read(self, name: str) -> bytes:
        """Return the bytes of the file ``name``; raise ImageError if it cannot be read."""
        source = UploadSource([(PurePosixPath(name).name, self._files[name])])
        for _, data in source:
            return data
        raise ImageError(name, source.skipped[0].reason)

    def restart(self) -> None:
        """Do nothing: uploads can be read as often as needed."""


@dataclass(frozen=True)
class SubTree:
    """View of one folder of a file tree.

    Attributes:
        place: the whole tree.
        prefix: the folder's path, with a slash at the end; empty for the whole tree.
    """

    place: ImageTree
    prefix: str = ""

    @property
    def images(self) -> list[str]:
        """Names of the images below the folder, relative to it, and of those beside the whole tree."""
        cut = len(self.prefix)
        return [name[cut:] for name in self.place.images if name.startswith(self.prefix)]

    @property
    def tables(self) -> list[str]:
        """Names of the tables below the folder, relative to it."""
        cut = len(self.prefix)
        return [name[cut:] for name in self.place.tables if name.startswith(self.prefix)]

    @property
    def documents(self) -> list[str]:
        """Names of the JSON files below the folder, relative to it."""
        cut = len(self.prefix)
        return [name[cut:] for name in self.place.documents if name.startswith(self.prefix)]

    @property
    def folders(self) -> list[str]:
        """Names of the direct sub-folders that contain images."""
        return sorted({name.partition("/")[0] for name in self.images if "/" in name} - {".."})

    @property
    def loose(self) -> bool:
        """Whether the folder contains images directly, outside any sub-folder."""
        return any("/" not in name for name in self.images)

    @property
    def skipped(self) -> list[ImageError]:
        """Errors of all files of the tree, named relative to the folder if they lie below it."""
        return [
            ImageError(error.name.removeprefix(self.prefix), error.reason) for error in self.place.skipped
        ]

    def read(self, name: str) -> bytes:
        """Return the bytes of a file named relative to the folder; raise ImageError if it cannot be read."""
        return self.place.read(self.prefix + name)

    def under(self, folder: str) -> SubTree:
        """Return the view of a sub-folder."""
        return SubTree(self.place, f"{self.prefix}{folder}/")

    @property
    def above(self) -> SubTree:
        """The view of the folder that contains this one; of the whole tree, that tree itself."""
        return SubTree(self.place, "".join(self.prefix[:-1].rpartition("/")[:2]))
