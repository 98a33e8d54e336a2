"""Labelled data sets: which images are good, which show a defect of which kind, and where it is.

Each reader handles one folder layout and returns a :class:`Dataset`; :func:`open_dataset` tries them in
turn. Readers use names and small tables only, so the same code serves folders, zip files and uploads.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import numpy.typing as npt

from padim.data.account import PassedOver
from padim.data.archives import ZipSource
from padim.data.decode import MIB, decode
from padim.data.preprocess import Preprocess
from padim.data.sources import File, FolderSource, UploadSource, read_plain, unique_names
from padim.errors import ImageError, PadimError

GOOD = "good"
# The kind of a defect whose label gives no kind.
DEFECT = "defect"
# Folder names and labels that stand for good parts.
_GOOD_NAMES = ("good", "ok", "normal", "normals", "pass")
_MASKS = "ground_truth"
_TABLE_BYTES = 64 * MIB


@dataclass(frozen=True)
class LabeledSample:
    """One labelled image.

    Attributes:
        name: unique in its dataset, with forward slashes.
        kind: ``good``, or the kind of defect.
        mask: name of the mask's image file in the same tree; None where no mask was drawn.
        file: name of the image's own file in that tree.
    """

    name: str
    kind: str
    mask: str | None
    file: str

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == GOOD


class ImageTree(Protocol):
    """Files that can be read by name: a folder, a zip archive or uploads.

    Attributes:
        images: names of the image files in natural order.
        tables: names of the CSV files.
        skipped: one error with the reason for each file that cannot be read.
        passed_over: the files that are no images of the user's, with the reason.
    """

    images: list[str]
    tables: list[str]
    skipped: list[ImageError]
    passed_over: list[PassedOver]

    def read(self, name: str) -> bytes:
        """Return the bytes of the file ``name``; raise ImageError if it cannot be read."""

    def restart(self) -> None:
        """Prepare for another iteration over the files; called before each one."""


class Dataset:
    """Labelled images that are read one at a time.

    Attributes:
        layout: name of the folder layout, as its reader gives it.
        samples: the labelled images by name, good ones first.
        skipped: one error for each file passed over: files that are not readable images, files that a table
            lists but that do not exist, and files that the latest iteration so far could not read.
        training: good parts set aside to fit on, where the layout has a training set; none of ``samples``.
    """

    def __init__(
        self,
        layout: str,
        place: ImageTree,
        samples: Sequence[LabeledSample],
        absent: Sequence[ImageError] = (),
        training: Sequence[LabeledSample] = (),
    ) -> None:
        """Create a data set.

        Args:
            layout: name of the folder layout.
            place: the files.
            samples: the labelled images among them.
            absent: errors of the files already known to be unusable.
            training: good parts among the files to fit on.
        """
        self.layout = layout
        self.training = tuple(training)
        self.samples = {sample.name: sample for sample in samples}
        self._place = place
        self._absent = list(absent)
        self.skipped = list(absent)

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
            yield sample.name, data

    @property
    def passed_over(self) -> list[PassedOver]:
        """Files that are not read because they are no images of the user's."""
        return list(self._place.passed_over)

    def only(self, samples: Iterable[LabeledSample]) -> Dataset:
        """Return a data set of the given samples, which may be among ``samples`` or ``training``."""
        return Dataset(self.layout, self._place, list(samples))

    def content(self, name: str) -> bytes:
        """Return the bytes of an image's or a mask's file; raise ImageError if it cannot be read."""
        return self._place.read(name)

    def mask(self, sample: LabeledSample, size: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """Return a sample's defect mask, bool ``(h, w)`` in the pixels of its image; None without a mask.

        Args:
            size: (h, w) of the image.

        Raises:
            ImageError: the mask cannot be read or its size differs from that of its image.
        """
        return None if sample.mask is None else read_mask(self._place.read(sample.mask), sample.mask, size)

    @property
    def kinds(self) -> Counter[str]:
        """Number of images of each kind; ``good`` is one of the kinds."""
        return Counter(sample.kind for sample in self.samples.values())

    @property
    def masks(self) -> int:
        """Number of defects that have a mask."""
        return sum(sample.mask is not None for sample in self.samples.values())


def read_mask(data: bytes, name: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode a mask file to bool ``(h, w)`` in the pixels of its image; pixels that are not black are True.

    Raises:
        ImageError: the mask is not an image or its size differs from that of its image.
    """
    mask = decode(data, name).max(axis=2) > 0
    if mask.shape != size:
        raise ImageError(
            name,
            f"the mask is {mask.shape[1]} × {mask.shape[0]}, its image {size[1]} × {size[0]}",
        )
    return np.asarray(mask, np.bool_)


def at_map_resolution(mask: npt.NDArray[np.bool_], preprocess: Preprocess) -> npt.NDArray[np.bool_]:
    """Resample a mask to the level map's pixels (nearest neighbour, half-pixel centers).

    Args:
        mask: bool ``(h, w)``, in the image's pixels.
        preprocess: gives the map's size and the image's position in it.

    Returns:
        bool ``(S, S)``.
    """
    box = preprocess.content_box(mask.shape)
    rows, columns = (
        (2 * np.arange(inside) + 1) * original // (2 * inside)
        for inside, original in ((box.height, mask.shape[0]), (box.width, mask.shape[1]))
    )
    result = np.zeros((preprocess.size,) * 2, np.bool_)
    result[box.top : box.top + box.height, box.left : box.left + box.width] = mask[np.ix_(rows, columns)]
    return result


# --- places -----------------------------------------------------------------------------------------


class _Folder:
    """File tree of a folder; masks and VisA's table beside it get names that begin with ``../``."""

    def __init__(self, path: Path, beside: bool) -> None:
        self._paths, self.skipped, self.passed_over = FolderSource(path).paths()
        root, above = path.resolve(), path.resolve().parent
        tables = [file for pattern in ("*.csv", "*.CSV", "*/*.csv") for file in path.glob(pattern)]
        found = {
            table.relative_to(path).as_posix(): table
            for table in sorted(tables)
            if table.resolve().is_relative_to(root)
        }
        # A link beside the folder must stay within the parent, as a link in the folder must stay in it.
        drawn, split = ((above / name).resolve() for name in (_MASKS, _SPLIT))
        beside_it = beside and root.name != _MASKS
        if beside_it and not (path / _MASKS).is_dir() and drawn.is_dir() and drawn.is_relative_to(above):
            masks, _, _ = FolderSource(drawn).paths()
            self._paths |= {f"../{_MASKS}/{name}": file for name, file in masks.items()}
        annotated = (path / _ANNOTATION).is_file()
        if beside_it and annotated and split.is_file() and split.is_relative_to(above):
            found[f"../{_SPLIT}"] = split
        self.images, self.tables = list(self._paths), list(found)
        self._paths |= found
        self.passed_over = [one for one in self.passed_over if one.name not in found]

    def read(self, name: str) -> bytes:
        return read_plain(self._paths[name], name)

    def restart(self) -> None:
        pass


class _Uploads:
    """File tree of single uploads, whose names contain their folders."""

    def __init__(self, files: Sequence[tuple[str, File]]) -> None:
        named = [(name.replace("\\", "/"), file) for name, file in files]
        tables = [(name, file) for name, file in named if name.lower().endswith(".csv")]
        images = UploadSource([(name, file) for name, file in named if not name.lower().endswith(".csv")])
        self._files = dict(unique_names(iter([*tables, *images.files().items()])))
        self.skipped = list(images.skipped)
        self.passed_over = list(images.passed_over)
        self.tables = sorted(name for name in self._files if name.lower().endswith(".csv"))
        self.images = sorted(self._files.keys() - set(self.tables))

    def read(self, name: str) -> bytes:
        source = UploadSource([(PurePosixPath(name).name, self._files[name])])
        for _, data in source:
            return data
        raise ImageError(name, source.skipped[0].reason)

    def restart(self) -> None:
        pass


# --- layouts ----------------------------------------------------------------------------------------

_ANNOTATION = "image_anno.csv"
_SPLIT = "split_csv/1cls.csv"


@dataclass(frozen=True)
class _Tree:
    """View of one folder of a file tree, for the readers; ``prefix`` is its path, with a slash at the end."""

    place: ImageTree
    prefix: str = ""

    @property
    def images(self) -> list[str]:
        """Names of the images below the folder, relative to it, and of those beside it."""
        cut = len(self.prefix)
        return [name[cut:] for name in self.place.images if name.startswith(self.prefix)]

    @property
    def folders(self) -> list[str]:
        """Names of the direct sub-folders that contain images."""
        return sorted({name.partition("/")[0] for name in self.images if "/" in name} - {".."})

    @property
    def loose(self) -> bool:
        """Whether the folder contains images directly, outside any sub-folder."""
        return any("/" not in name for name in self.images)

    def has_table(self, name: str) -> bool:
        return self.prefix + name in self.place.tables

    def rows(self, name: str) -> list[dict[str, str]]:
        """Read a CSV table and return its rows, each by column names in lower case.

        Raises:
            PadimError: the file is too large, not UTF-8 or not CSV.
        """
        full = self.prefix + name
        data = self.place.read(full)
        if len(data) > _TABLE_BYTES:
            raise PadimError(f"{full}: is too large for a table of labels")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PadimError(f"{full}: is not UTF-8 text; save it as CSV UTF-8") from None
        head = text.partition("\n")[0]
        # Spreadsheets of some countries write semicolons.
        mark = ";" if head.count(";") > head.count(",") else ","
        try:
            lines = list(csv.reader(text.splitlines(), delimiter=mark))
        except csv.Error as error:
            raise PadimError(f"{full}: is not a CSV file ({error})") from None
        if not lines:
            return []
        columns = [column.strip().lower() for column in lines[0]]
        return [dict(zip(columns, map(str.strip, line), strict=False)) for line in lines[1:] if any(line)]

    def under(self, folder: str) -> _Tree:
        return _Tree(self.place, f"{self.prefix}{folder}/")

    def dataset(
        self,
        layout: str,
        samples: Sequence[tuple[str, str, str | None, str]],
        absent: Sequence[ImageError] = (),
    ) -> Dataset:
        """Build a data set of (name, kind, mask, file) tuples; mask and file are relative to this folder."""
        full = self.prefix
        ordered = sorted(samples, key=lambda sample: sample[1] != GOOD)
        return Dataset(
            layout,
            self.place,
            [
                LabeledSample(name, kind, None if mask is None else full + mask, full + file)
                for name, kind, mask, file in ordered
            ],
            absent,
        )


def _mvtec(tree: _Tree) -> Dataset | None:
    """Read the layout of MVTec AD; return None if the tree has another one.

    Its folders: ``test/good``, ``test/<defect>``, ``ground_truth/<defect>/<stem>_mask.png``.
    """
    if "test" not in tree.folders:
        return None
    found = _kinds(tree, "test/", f"{_MASKS}/", "MVTec AD")
    if found is not None:
        found.training = tuple(
            LabeledSample(name, GOOD, None, tree.prefix + name)
            for name in tree.images
            if name.startswith("train/") and _is_good(name.split("/")[1])
        )
    return found


def _plain(tree: _Tree) -> Dataset | None:
    """Read a folder of good parts and one folder per kind of defect; None if the tree has another layout.

    Masks are named as in MVTec AD, in the folder ``ground_truth`` inside the tree or beside it.
    """
    masks = f"{_MASKS}/" if _MASKS in tree.folders else f"../{_MASKS}/"
    return _kinds(tree, "", masks, "one folder a kind")


def _kinds(tree: _Tree, base: str, masks: str, layout: str) -> Dataset | None:
    """Read one folder per kind below ``base``, with masks below ``masks``; None if there are no images."""
    drawn: dict[str, str] = {}
    for name in tree.images:
        if name.startswith(masks):
            stem = str(PurePosixPath(name.removeprefix(masks)).with_suffix(""))
            if stem.endswith("_mask"):
                drawn[stem.removesuffix("_mask")] = name
            else:
                drawn.setdefault(stem, name)
    samples: list[tuple[str, str, str | None, str]] = []
    for file in tree.images:
        name = file.removeprefix(base)
        kind, inside, _ = name.partition("/")
        if not (file.startswith(base) and inside) or kind in (_MASKS, ".."):
            continue
        if _is_good(kind):
            samples.append((name, GOOD, None, file))
        else:
            samples.append((name, kind, drawn.get(str(PurePosixPath(name).with_suffix(""))), file))
    # Unreadable files of the training set are not reported: evaluation does not use them.
    others = (f"{tree.prefix}{_MASKS}/", f"{tree.prefix}train/")
    absent = [
        ImageError(error.name.removeprefix(tree.prefix + base), error.reason)
        for error in tree.place.skipped
        if not error.name.startswith(others)
    ]
    return tree.dataset(layout, samples, absent) if samples else None


def _visa(tree: _Tree) -> Dataset | None:
    """Read the layout of VisA; return None if the tree has another one.

    Its files: ``<part>/image_anno.csv``, and above it ``split_csv/1cls.csv``, which lists the test images.

    Raises:
        PadimError: the tree contains several of VisA's parts.
    """
    if tree.has_table(_ANNOTATION):
        rows = tree.rows(_ANNOTATION)
        # The split is one folder up: in the same tree, or beside it.
        up = _Tree(tree.place, "".join(tree.prefix[:-1].rpartition("/")[:2]))
        split = next((at.rows(f) for at, f in ((tree, f"../{_SPLIT}"), (up, _SPLIT)) if at.has_table(f)), [])
        testing = {row.get("image", "") for row in split if row.get("split") == "test"}
        if any(row.get("image", "") in testing for row in rows):
            training = [row for row in rows if row.get("image", "") not in testing]
            rows = [row for row in rows if row.get("image", "") in testing]
            found = _listed(tree, rows, "VisA", _ANNOTATION, above=True)
            if training:
                of_training = _listed(tree, training, "VisA", _ANNOTATION, above=True)
                found.training = tuple(sample for sample in of_training.samples.values() if sample.good)
            return found
        return _listed(tree, rows, "VisA", _ANNOTATION, above=True)
    parts = [folder for folder in tree.folders if tree.has_table(f"{folder}/{_ANNOTATION}")]
    if not parts and tree.has_table(_SPLIT):
        # Some mirrors leave out the annotations, and with them the kinds of defect.
        rows = [row for row in tree.rows(_SPLIT) if row.get("split") == "test"]
        named = sorted({row.get("object", "") for row in rows})
        if len(named) == 1:
            return _listed(tree, rows, "VisA", _SPLIT)
        parts = named
    if len(parts) > 1:
        raise PadimError(
            f"this is VisA with {len(parts)} parts ({', '.join(parts[:3])} …); give the folder of one of them"
        )
    return _visa(tree.under(parts[0])) if parts else None


def _table(tree: _Tree) -> Dataset | None:
    """Read a CSV with the columns path, label and, where there are masks, mask; None if there is none."""
    for name in tree.place.tables:
        inside = name.removeprefix(tree.prefix)
        if not name.startswith(tree.prefix) or "/" in inside:
            continue
        rows = tree.rows(inside)
        if rows and {"path", "label"} <= set(rows[0]):
            return _listed(tree, rows, "CSV", inside)
    return None


def _listed(
    tree: _Tree, rows: Sequence[dict[str, str]], layout: str, table: str, *, above: bool = False
) -> Dataset:
    """Build a data set from the rows of a CSV table, each with an image's path, label and mask path.

    Args:
        above: whether paths begin with the name of the table's own folder, as in VisA.

    Raises:
        PadimError: the table lists no image that exists.
    """
    there = set(tree.images)
    reasons = {error.name.removeprefix(tree.prefix): error.reason for error in tree.place.skipped}
    absent: list[ImageError] = []

    def found(path: str) -> str | None:
        # Only files found below the folder are accepted: no path in the table can lead out of it.
        path = inside(path)
        return path if path in there else None

    def inside(path: str) -> str:
        path = path.replace("\\", "/").removeprefix("./")
        return path.partition("/")[2] if above else path

    samples: dict[str, tuple[str, str, str | None, str]] = {}
    for row in rows:
        path, label = row.get("path") or row.get("image") or "", row.get("label", "")
        if not path or not label:
            absent.append(ImageError(path or table, f"has no path or no label in {table}"))
            continue
        file, mask = found(path), row.get("mask", "")
        if file is None:
            reason = reasons.get(inside(path), f"is named in {table} but is not below its folder")
            absent.append(ImageError(path, reason))
            continue
        good = _is_good(label) or label == "0"
        kind = GOOD if good else DEFECT if label.lower() in ("1", "anomaly", "bad", "ng") else label
        drawn = None if good or not mask else found(mask)
        if mask and not good and drawn is None:
            absent.append(ImageError(mask, f"is the mask of {path} in {table} but is not below its folder"))
        samples[file] = (file, kind, drawn, file)
    if not samples:
        raise PadimError(f"{table}: names no image that is below its folder")
    return tree.dataset(layout, list(samples.values()), absent)


def _is_good(name: str) -> bool:
    return name.lower() in _GOOD_NAMES


_READERS: tuple[Callable[[_Tree], Dataset | None], ...] = (_visa, _mvtec, _table)


def open_dataset(path: str | Path, *, beside: bool = True) -> Dataset:
    """Open a labelled data set with the first reader that recognizes its layout.

    Args:
        path: a folder, a zip, or a CSV with the columns path, label and mask.
        beside: whether masks and tables beside the folder may be read.

    Raises:
        PadimError: the path does not exist, or its layout is not known.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        tree = _Tree(_Folder(path.parent, beside=False))
        rows = tree.rows(path.name) if tree.has_table(path.name) else []
        if not rows or not {"path", "label"} <= set(rows[0]):
            raise PadimError(f"{path}: has no rows under the columns path and label")
        return _read_named(path.name, lambda: _listed(tree, rows, "CSV", path.name))
    if path.is_file() and path.suffix.lower() == ".zip":
        return _read_named(str(path), lambda: _read(ZipSource(path).open()))
    if not path.is_dir():
        raise PadimError(f"{path}: is not a folder, a zip or a CSV; give one with labelled images")
    return _read_named(str(path), lambda: _read(_Folder(path, beside)))


def open_good(path: str | Path) -> Dataset:
    """Open the images of a folder or a zip without labels, all treated as good parts.

    Raises:
        PadimError: the path does not exist or contains no images.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _all_good(ZipSource(path).open(), str(path))
    if path.is_dir():
        return _all_good(_Folder(path, beside=False), str(path))
    raise PadimError(f"{path}: is not a folder or a zip; give one with images")


def good_uploads(files: Sequence[tuple[str, File]]) -> Dataset:
    """Open the images among uploads (one zip, or files), all treated as good parts.

    Raises:
        PadimError: there are no images.
    """
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        ((name, file),) = files
        return _all_good(ZipSource(file, name).open(), name)
    return _all_good(_Uploads(files), "The upload")


def _all_good(place: ImageTree, name: str) -> Dataset:
    samples = [LabeledSample(image, GOOD, None, image) for image in place.images]
    if not samples:
        raise PadimError(f"{name}: holds no images; give a folder or a zip with images of good parts")
    return Dataset("good parts", place, samples, place.skipped)


def open_uploads(files: Sequence[tuple[str, File]]) -> Dataset:
    """Open a labelled data set from uploads: one zip, or files whose names contain their folders.

    Raises:
        PadimError: there are several zips, or the layout is not known.
    """
    zips = [(name, file) for name, file in files if name.lower().endswith(".zip")]
    if len(zips) == 1 == len(files):
        ((name, file),) = zips
        return _read_named(name, lambda: _read(ZipSource(file, name).open()))
    if zips:
        raise PadimError("give one zip by itself, or a folder of images")
    return _read_named("The upload", lambda: _read(_Uploads(files)))


def _read_named(name: str, read: Callable[[], Dataset | None]) -> Dataset:
    """Call ``read``; put ``name`` in front of its error, and raise PadimError if it finds no layout."""
    try:
        found = read()
    except ImageError:
        raise
    except PadimError as error:
        raise PadimError(f"{name}: {error}") from None
    if found is None:
        raise PadimError(
            f"{name}: holds no labelled images; give a folder with test/good and test/<defect>, with good "
            "and one folder for each kind of defect, or with a CSV of path and label"
        )
    return found


def _read(place: ImageTree) -> Dataset | None:
    """Read a tree with the first reader that recognizes it, descending into a single top-level folder."""
    tree: _Tree | None = _Tree(place)
    plain: list[_Tree] = []
    while tree is not None:
        for reader in _READERS:
            found = reader(tree)
            if found is not None:
                return found
        plain.append(tree)
        # A zip or an upload often contains a single folder with everything in it.
        only = tree.folders
        tree = tree.under(only[0]) if len(only) == 1 and not tree.loose and not _is_good(only[0]) else None
    with_good = (tree for tree in plain if any(map(_is_good, tree.folders)))
    return _plain(next(with_good, plain[0]))
