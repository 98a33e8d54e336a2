"""What a study is made on: for each category, good parts to fit on and labelled images to judge.

A category in MVTec AD's or VisA's layout says which good parts are to fit on. Of any other, a seeded draw of
its good parts is fitted on and the rest judged, so that no image is judged by a model that knows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from padim.data.datasets import Dataset, LabeledSample, open_dataset, open_good
from padim.data.loading import Watch
from padim.decision.calibration import FEWEST_PARTS
from padim.errors import ImageError, PadimError
from padim.text import count

__all__ = ["Category", "categories", "category", "digest"]

# The share of good parts to fit on where nobody has set any aside: with defects, which take good ones to be
# held against, and without.
_TO_FIT = 0.5
_TO_FIT_WITHOUT_DEFECTS = 0.8


@dataclass(frozen=True)
class Category:
    """One kind of part.

    Attributes:
        name: unique in its study.
        normals: good parts to fit on.
        tests: labelled images, none of the normals.
        drawn: the normals were drawn from the good parts, because nobody had set any aside.
    """

    name: str
    normals: Dataset
    tests: Dataset
    drawn: bool = False

    @property
    def defects(self) -> int:
        """How many of the images to judge show a defect."""
        return sum(not sample.good for sample in self.tests.samples.values())

    @property
    def about(self) -> str:
        """What it consists of, in words."""
        good = len(self.tests) - self.defects
        judged = f"judged on {count(good, 'good part')} and {count(self.defects, 'defect')}"
        how = " drawn at random" if self.drawn else ""
        return f"fitted on {count(len(self.normals), 'good part')}{how}, {judged}"


def category(name: str, dataset: Dataset, seed: int = 0) -> Category:
    """Good parts to fit on, and the rest.

    Args:
        name: what it is called.
        dataset: with or without good parts set aside.
        seed: of the draw where none are.

    Raises:
        PadimError: too few good parts to fit on and judge.
    """
    if dataset.training:
        found = Category(name, dataset.only(dataset.training), dataset)
    else:
        good = [sample for sample in dataset.samples.values() if sample.good]
        defects = [sample for sample in dataset.samples.values() if not sample.good]
        fit, rest = _drawn(good, _TO_FIT if defects else _TO_FIT_WITHOUT_DEFECTS, seed)
        found = Category(name, dataset.only(fit), dataset.only([*rest, *defects]), drawn=True)
    if len(found.normals) < FEWEST_PARTS or not len(found.tests):
        raise PadimError(
            f"{name}: has {count(len(found.normals), 'good part')} to fit on and "
            f"{count(len(found.tests), 'image')} to judge; a study takes at least {FEWEST_PARTS} and 1"
        )
    return found


def _drawn(
    good: Sequence[LabeledSample], share: float, seed: int
) -> tuple[list[LabeledSample], list[LabeledSample]]:
    """So many of them, and the others, both in their order."""
    order = np.random.default_rng(seed).permutation(len(good))
    chosen = set(order[: round(share * len(good))].tolist())
    return (
        [sample for place, sample in enumerate(good) if place in chosen],
        [sample for place, sample in enumerate(good) if place not in chosen],
    )


def categories(
    path: str | Path, names: Sequence[str] = (), seed: int = 0, *, beside: bool = True
) -> tuple[Category, ...]:
    """All categories at a place.

    Args:
        path: one data set (a folder, a zip or a CSV, labelled or good parts alone), or a folder of folders in
            MVTec AD's layout.
        names: only these; none is all.
        seed: as for :func:`category`.
        beside: whether masks that lie beside the folder may be read.

    Raises:
        PadimError: nothing there that can be studied, or not one of the names.
    """
    path = Path(path)
    single = path.is_file() or (path / "test").is_dir() or (path / "train").is_dir()
    root = [] if single else sorted(folder.parent for folder in path.glob("*/test") if folder.is_dir())
    if root:
        known = {folder.name: folder for folder in root}
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


def digest(found: Category, watch: Watch, stage: str) -> str:
    """Hex SHA-256 of every image's and mask's content, label and name: the same images, the same digest.

    What cannot be read counts as empty: it will be told when it is wanted.

    Raises:
        Cancelled: ``watch`` asked to stop.
    """
    whole = hashlib.sha256()
    total, done = len(found.normals) + len(found.tests), 0
    for role, dataset in (("fit", found.normals), ("judge", found.tests)):
        for name, data in dataset:
            sample = dataset.samples[name]
            try:
                mask = b"" if sample.mask is None else dataset.content(sample.mask)
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
                whole.update(len(content).to_bytes(4, "little") + content)
            done += 1
            watch.step(done, total, stage)
    return whole.hexdigest()
