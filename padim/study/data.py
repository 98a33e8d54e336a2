"""The data of a study: for each category, good parts to fit on and labelled images for evaluation.

Data sets in the layout of MVTec AD or VisA specify the good parts to fit on. For other data sets, a seeded
random selection of the good parts is fitted on and the others are used for evaluation, so that no image is
scored by a model that was fitted on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from padim.data.datasets import Dataset, LabeledSample, open_dataset, open_good
from padim.data.layouts import data_sets_in
from padim.data.loading import Watch
from padim.data.trees import FolderTree, SubTree
from padim.decision.calibration import FEWEST_PARTS
from padim.errors import ImageError, PadimError
from padim.text import count

__all__ = ["Category", "categories", "category", "digest"]

# The share of good parts to fit on where the data set does not specify them: with defects, which need good
# parts for comparison, and without.
_TO_FIT = 0.5
_TO_FIT_WITHOUT_DEFECTS = 0.8


@dataclass(frozen=True)
class Category:
    """The data set of one kind of part, divided for fitting and evaluation.

    Attributes:
        name: a name that is unique in the study.
        normals: the good parts to fit on.
        tests: labelled images for evaluation, disjoint from ``normals``.
        drawn: whether ``normals`` were drawn at random from the good parts, because the data set
            does not specify them.
    """

    name: str
    normals: Dataset
    tests: Dataset
    drawn: bool = False

    @property
    def defects(self) -> int:
        """Return the number of images for evaluation that show a defect."""
        return sum(not sample.good for sample in self.tests.samples.values())

    @property
    def about(self) -> str:
        """Return a description of the category as text."""
        good = len(self.tests) - self.defects
        tests = f"evaluated on {count(good, 'good part')} and {count(self.defects, 'defect')}"
        how = " drawn at random" if self.drawn else ""
        return f"fitted on {count(len(self.normals), 'good part')}{how}, {tests}"


def category(name: str, dataset: Dataset, seed: int = 0) -> Category:
    """Divide a data set into good parts to fit on and images for evaluation.

    Args:
        name: the name of the category.
        dataset: a data set with or without specified good parts to fit on.
        seed: the seed of the random selection if it specifies none.

    Raises:
        PadimError: there are too few good parts to fit on or images for evaluation.
    """
    if dataset.training:
        found = Category(name, dataset.to_fit(), dataset)
    else:
        good = [sample for sample in dataset.samples.values() if sample.good]
        defects = [sample for sample in dataset.samples.values() if not sample.good]
        fit, rest = _drawn(good, _TO_FIT if defects else _TO_FIT_WITHOUT_DEFECTS, seed)
        found = Category(name, dataset.only(fit), dataset.only([*rest, *defects], all_files=True), True)
    if len(found.normals) < FEWEST_PARTS or not len(found.tests):
        raise PadimError(
            f"{name}: has {count(len(found.normals), 'good part')} to fit on and "
            f"{count(len(found.tests), 'image')} to evaluate on; a study takes at least {FEWEST_PARTS} and 1"
        )
    return found


def _drawn(
    good: Sequence[LabeledSample], share: float, seed: int
) -> tuple[list[LabeledSample], list[LabeledSample]]:
    """Return a random share of the good parts, and the others, both in their original order."""
    order = np.random.default_rng(seed).permutation(len(good))
    chosen = set(order[: round(share * len(good))].tolist())
    return (
        [sample for place, sample in enumerate(good) if place in chosen],
        [sample for place, sample in enumerate(good) if place not in chosen],
    )


def categories(
    path: str | Path, names: Sequence[str] = (), seed: int = 0, *, beside: bool = True
) -> tuple[Category, ...]:
    """Open all categories at a path.

    Args:
        path: one data set (a folder, zip file or CSV table, labelled or of good parts only), or a folder of
            several: of MVTec AD's categories, or of folders with good parts and defects each.
        names: the categories to open; an empty sequence opens all.
        seed: as for :func:`category`.
        beside: whether masks next to the folder may be read.

    Raises:
        PadimError: there is no data set at the path, or a named category does not exist.
    """
    path = Path(path)
    single = path.is_file() or (path / "test").is_dir() or (path / "train").is_dir()
    known = {} if single or not path.is_dir() else _data_sets(path)
    if known:
        unknown = [name for name in names if name not in known]
        if unknown:
            raise PadimError(f"{path}: has no category '{unknown[0]}'; it has {', '.join(known)}")
        return tuple(category(name, open_dataset(known[name]), seed) for name in names or known)
    name = path.stem if path.is_file() else path.resolve().name
    if names and list(names) != [name]:
        raise PadimError(f"{path}: is one category, '{name}', and has none called '{names[0]}'")
    try:
        dataset = open_dataset(path, beside=beside)
    except ImageError:
        raise
    except PadimError as error:
        try:
            dataset = open_good(path)
        except PadimError:
            raise error from None
    return (category(name, dataset, seed),)


def _data_sets(path: Path) -> dict[str, Path]:
    """Return the data sets in a folder of several, by name; empty if it is one itself."""
    found = data_sets_in(SubTree(FolderTree(path)))
    if len(found) > 1:
        return {name: path / name for name in found}
    return {folder.parent.name: folder.parent for folder in sorted(path.glob("*/test")) if folder.is_dir()}


def digest(found: Category, watch: Watch, stage: str) -> str:
    """Return a hex SHA-256 over the content, label and name of all images and masks of a category.

    Files that cannot be read count as empty; they are reported when they are needed.

    Raises:
        Cancelled: ``watch`` asked to cancel.
    """
    digest_of_all = hashlib.sha256()
    total, done = len(found.normals) + len(found.tests), 0
    for role, dataset in (("fit", found.normals), ("judge", found.tests)):
        for name, data in dataset:
            sample = dataset.samples[name]
            try:
                mask = b"".join(map(dataset.content, sample.masks))
                # Features kept by a version that read masks in another way are not used.
                mask += b"masks 2" if mask else b""
            except ImageError:
                mask = b""
            for part in (
                role,
                name,
                sample.kind,
                hashlib.sha256(data).digest(),
                hashlib.sha256(mask).digest(),
            ):
                content = part.encode() if isinstance(part, str) else part
                digest_of_all.update(len(content).to_bytes(4, "little") + content)
            done += 1
            watch.step(done, total, stage)
    return digest_of_all.hexdigest()
