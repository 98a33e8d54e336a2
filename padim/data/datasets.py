"""Labelled data sets: which images are good, which show a defect of which kind, and where it is.

:mod:`padim.data.layouts` reads each folder layout; :func:`open_dataset` and its relatives open a folder, a
zip file, a table or uploads, and return a :class:`Dataset`.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from padim.data.account import PassedOver
from padim.data.archives import ZipSource
from padim.data.labeled_input import check_good_parts
from padim.data.layouts import (
    DEFECT,
    GOOD,
    FolderUse,
    LabeledSample,
    Reading,
    read_layout,
    table_reading,
)
from padim.data.masks import Mask, at_map_resolution, read_mask
from padim.data.opening import kind_of
from padim.data.sources import TABLE_SUFFIXES, File, not_an_image
from padim.data.stored_values import orientation_of
from padim.data.tables import read_table
from padim.data.trees import FolderTree, ImageTree, SubTree, UploadTree
from padim.errors import ImageError, PadimError
from padim.text import count

__all__ = [
    "DEFECT",
    "GOOD",
    "Dataset",
    "FolderUse",
    "LabeledSample",
    "MaskAccount",
    "UnlabeledError",
    "at_map_resolution",
    "good_uploads",
    "open_dataset",
    "open_good",
    "open_uploads",
    "read_mask",
]


class UnlabeledError(PadimError):
    """Nothing says which images are good, so that images without labels may be meant."""


@dataclass(frozen=True)
class MaskAccount:
    """What became of the masks of a data set.

    Attributes:
        used: number of defects with a mask that shows a defect.
        unmatched: names of the masks that belong to no image.
        empty: names of the masks of defects in which no pixel is defect; they are not used.
        missing: names of the defects without a mask.
    """

    used: int = 0
    unmatched: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """One sentence each on the masks without an image, the empty ones and the defects without a mask.

        Where no defect has a mask, nothing is said of their absence.
        """
        found = []
        if self.unmatched:
            found.append(f"{_counted(self.unmatched, 'mask')} without an image: {_named(self.unmatched)}")
        if self.empty:
            found.append(f"{_counted(self.empty, 'mask')} without a defect pixel: {_named(self.empty)}")
        if self.missing and (self.used or self.unmatched or self.empty):
            found.append(f"{_counted(self.missing, 'defect')} without a mask: {_named(self.missing)}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON, with all names."""
        return {
            "used": self.used,
            "without_image": list(self.unmatched),
            "empty": list(self.empty),
            "defects_without_mask": list(self.missing),
        }


def _counted(names: Sequence[str], what: str) -> str:
    return count(len(names), what)


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


class Dataset:
    """Labelled images that are read one at a time.

    Attributes:
        layout: name of the folder layout, as its reader gives it.
        samples: the labelled images by name, good ones first.
        skipped: one error for each file that cannot be used: files that are not readable images, files that a
            table lists but that do not exist, and files that the latest iteration so far could not read.
        passed_over: files that are not used, each with the reason.
        training: good parts set aside to fit on, where the layout has a training set; none of ``samples``.
        folders: what each folder was taken for.
        unmatched_masks: names of the masks that belong to no image.
        training_refused: errors of files among the images to fit on that cannot be used.
    """

    def __init__(
        self,
        layout: str,
        place: ImageTree,
        samples: Sequence[LabeledSample],
        absent: Sequence[ImageError] = (),
        training: Sequence[LabeledSample] = (),
        *,
        passed_over: Sequence[PassedOver] = (),
        folders: Sequence[FolderUse] = (),
        unmatched_masks: Sequence[str] = (),
        training_refused: Sequence[ImageError] = (),
    ) -> None:
        """Create a data set.

        Args:
            layout: name of the folder layout.
            place: the files.
            samples: the labelled images among them.
            absent: errors of the files already known to be unusable.
            training: good parts among the files to fit on.
            passed_over: files that are not used.
            folders: what each folder was taken for.
            unmatched_masks: names of the masks that belong to no image.
            training_refused: errors of files among the images to fit on that cannot be used.
        """
        self.layout = layout
        self.training = tuple(training)
        self.samples = {sample.name: sample for sample in samples}
        self._by_layout = tuple(passed_over)
        self.passed_over = [*place.passed_over, *passed_over]
        self.folders = tuple(folders)
        self.unmatched_masks = tuple(unmatched_masks)
        self.training_refused = tuple(training_refused)
        self._place = place
        self._absent = list(absent)
        self.skipped = list(absent)
        # Names of defects whose masks, read so far, show no defect.
        self._empty: dict[str, None] = {}
        # By image file. Known of the images that were read, so that no image is read twice for its mask.
        self._orientations: dict[str, int] = {}

    @classmethod
    def of(cls, found: Reading) -> Dataset:
        """Return the data set that a reader of layouts found."""
        return cls(
            found.layout,
            found.tree.place,
            list(found.samples.values()),
            found.refused,
            found.training,
            passed_over=found.passed_over,
            folders=found.folders,
            unmatched_masks=found.unmatched_masks,
            training_refused=found.training_refused,
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yield (name, file bytes) of each sample, undecoded, as ``Padim.score`` takes them."""
        self.skipped = list(self._absent)
        self._place.restart()
        for sample in self.samples.values():
            try:
                data = self._place.read(sample.file)
            except ImageError as error:
                self.skipped.append(ImageError(sample.name, error.reason))
                continue
            if sample.masks:
                self._orientations[sample.file] = orientation_of(data)
            yield sample.name, data

    def only(self, samples: Iterable[LabeledSample], *, all_files: bool = False) -> Dataset:
        """Return a data set of the given samples, which may be among ``samples`` or ``training``.

        Args:
            samples: the samples.
            all_files: whether it accounts for the files beside the samples as this one does.
        """
        if not all_files:
            return Dataset(self.layout, self._place, list(samples))
        return Dataset(
            self.layout,
            self._place,
            list(samples),
            self._absent,
            passed_over=self._by_layout,
            folders=self.folders,
            unmatched_masks=self.unmatched_masks,
        )

    def to_fit(self) -> Dataset:
        """Return the data set of the images to fit on, with those of them that cannot be used."""
        return Dataset(self.layout, self._place, self.training, self.training_refused)

    def content(self, name: str) -> bytes:
        """Return the bytes of an image's or a mask's file; raise ImageError if it cannot be read."""
        return self._place.read(name)

    def mask(self, sample: LabeledSample, size: tuple[int, int]) -> Mask | None:
        """Return a sample's defect mask, bool ``(h, w)`` in the pixels of its image; None without a mask.

        The defects of several masks are united. Masks of a defect without a single defect pixel count as none
        and are noted in :attr:`mask_account`.

        Args:
            size: (h, w) of the image, upright.

        Raises:
            ImageError: a mask cannot be read or its size differs from that of its image.
        """
        if not sample.masks:
            return None
        if sample.file not in self._orientations:
            self._orientations[sample.file] = orientation_of(self._place.read(sample.file))
        turn = self._orientations[sample.file]
        first, *rest = (read_mask(self._place.read(name), name, size, turn) for name in sample.masks)
        for mask in rest:
            first |= mask
        if not first.any() and not sample.good:
            self._empty[sample.name] = None
            return None
        return first

    @property
    def mask_account(self) -> MaskAccount:
        """What became of the masks; empty ones are known of the masks read so far."""
        empty = tuple(mask for name in self._empty for mask in self.samples[name].masks)
        return MaskAccount(self.masks - len(self._empty), self.unmatched_masks, empty, self.without_mask)

    @property
    def kinds(self) -> Counter[str]:
        """Number of images of each kind; ``good`` is one of the kinds."""
        return Counter(sample.kind for sample in self.samples.values())

    @property
    def masks(self) -> int:
        """Number of defects that have a mask."""
        return sum(bool(sample.masks) for sample in self.samples.values())

    @property
    def without_mask(self) -> tuple[str, ...]:
        """Names of the defects that have no mask."""
        return tuple(name for name, sample in self.samples.items() if not sample.good and not sample.masks)


def open_dataset(path: str | Path, *, beside: bool = True, good_needed: bool = True) -> Dataset:
    """Open a labelled data set with the first reader that recognizes its layout.

    Args:
        path: a folder, a zip, or a CSV with columns of paths, labels and, where there are any, masks.
        beside: whether masks and tables beside the folder may be read.
        good_needed: whether folders without any of good parts are refused.

    Raises:
        UnlabeledError: the path is no data set, or nothing in it says which images are good.
        PadimError: the path does not exist, or the labels contradict each other or may mean either.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES:
        return _read_named(path.name, lambda: _of_table(path))
    if _is_zip(path):
        return _read_named(str(path), lambda: read_layout(ZipSource(path).open(), good_needed=good_needed))
    if not path.is_dir():
        there = "not a folder, a zip or a CSV: it does not exist" if not path.exists() else kind_of(path)
        raise UnlabeledError(f"{path}: is {there}; give a folder, a zip or a CSV with labelled images")
    return _read_named(str(path), lambda: read_layout(FolderTree(path, beside), good_needed=good_needed))


def _is_zip(path: Path) -> bool:
    """Return whether a path is a zip file, by its name or its content."""
    return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))


def _of_table(path: Path) -> Reading:
    tree = SubTree(FolderTree(path.parent))
    rows = read_table(tree.read(path.name), path.name) if path.name in tree.tables else []
    return table_reading(tree, rows, "CSV", path.name)


def open_good(path: str | Path) -> Dataset:
    """Open the images of a folder or a zip without labels, all treated as good parts.

    Raises:
        PadimError: the path does not exist or contains no images.
        LabeledInputError: folders in it say that not all of its images are good parts.
    """
    path = Path(path)
    if _is_zip(path):
        return _all_good(ZipSource(path).open(), str(path))
    if path.is_dir():
        return _all_good(FolderTree(path), str(path))
    raise PadimError(f"{path}: is not a folder or a zip; give one with images")


def good_uploads(files: Sequence[tuple[str, File]]) -> Dataset:
    """Open the images among uploads (one zip, or files), all treated as good parts.

    Raises:
        PadimError: there are no images.
        LabeledInputError: folders among them say that not all images are good parts.
    """
    zip_file = _one_zip(files)
    if zip_file is not None:
        return _all_good(zip_file.open(), zip_file.name)
    return _all_good(UploadTree(files), "The upload")


def _all_good(place: ImageTree, name: str) -> Dataset:
    samples = [LabeledSample(image, GOOD, (), image) for image in place.images]
    if not samples:
        raise PadimError(f"{name}: holds no images; give a folder or a zip with images of good parts")
    check_good_parts(place.images, name, lambda: [(table, place.read(table)) for table in place.tables])
    tables = [PassedOver(table, not_an_image(table)) for table in place.tables if not table.startswith("../")]
    return Dataset("good parts", place, samples, place.skipped, passed_over=tables)


def open_uploads(files: Sequence[tuple[str, File]], *, good_needed: bool = True) -> Dataset:
    """Open a labelled data set from uploads: one zip, or files whose names contain their folders.

    Args:
        files: name and content of every file.
        good_needed: whether folders without any of good parts are refused.

    Raises:
        UnlabeledError: there are several zips, or nothing says which images are good.
        PadimError: the labels contradict each other, or may mean either.
    """
    zip_file = _one_zip(files)
    if zip_file is not None:
        archive = zip_file
        return _read_named(archive.name, lambda: read_layout(archive.open(), good_needed=good_needed))
    return _read_named("The upload", lambda: read_layout(UploadTree(files), good_needed=good_needed))


def _one_zip(files: Sequence[tuple[str, File]]) -> ZipSource | None:
    """Return the only upload if it is a zip; None if there is no zip among the uploads.

    A zip in a folder that was chosen in a browser is passed over like one in any folder.

    Raises:
        PadimError: there are other files beside a zip.
    """
    zips = [(name, file) for name, file in files if name.lower().endswith(".zip")]
    if len(zips) == len(files) == 1:
        return ZipSource(zips[0][1], zips[0][0])
    if any(len(PurePosixPath(name.replace("\\", "/")).parts) == 1 for name, _ in zips):
        raise UnlabeledError("give one zip by itself, or a folder of images")
    return None


def _read_named(name: str, read: Callable[[], Reading | None]) -> Dataset:
    """Call ``read``; put ``name`` in front of its error, and raise UnlabeledError if it finds no layout."""
    try:
        found = read()
    except ImageError:
        raise
    except PadimError as error:
        text = str(error)
        raise PadimError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
    if found is None:
        raise UnlabeledError(
            f"{name}: holds no labelled images; give a folder with test/good and test/<defect>, with good "
            "and one folder for each kind of defect, with images and their masks, or with a CSV of path and "
            "label"
        )
    return Dataset.of(found)
