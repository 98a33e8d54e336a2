"""Images together with their labels, where there are any, and selections among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.data.account import PassedOver
from padim.data.datasets import GOOD, UnlabeledError, open_dataset
from padim.data.label_words import says_bad
from padim.data.opening import open_source
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.data.datasets import Dataset

__all__ = ["ImageSelection", "LabeledImages", "at_most", "good_ones", "open_labeled"]


@dataclass(frozen=True)
class LabeledImages:
    """Images and their labels; without labels all of them are treated as good parts.

    Attributes:
        images: iterable of (name, bytes) pairs that can be iterated repeatedly.
        count: number of images.
        label: the user's name for them, such as a folder's name.
        kinds: kind of defect, or ``good``, by image name; None without labels.
        layout: name of the data set's folder layout; empty without labels.
    """

    images: Any
    count: int
    label: str
    kinds: dict[str, str] | None = None
    layout: str = ""

    @classmethod
    def of_dataset(cls, dataset: Dataset, label: str) -> LabeledImages:
        """Wrap the images and labels of a labelled data set."""
        kinds = {name: sample.kind for name, sample in dataset.samples.items()}
        return cls(dataset, len(dataset), label, kinds, dataset.layout)

    @property
    def good(self) -> int:
        """Number of images that are labelled, or without labels treated, as good."""
        return self.count if self.kinds is None else sum(kind == GOOD for kind in self.kinds.values())

    @property
    def defects(self) -> int:
        """Number of images that are labelled as defects."""
        return self.count - self.good

    def kind_of(self, name: str) -> str:
        """Return ``good`` or the kind of defect of the image of that name."""
        return GOOD if self.kinds is None else self.kinds[name]

    def all_good(self) -> LabeledImages:
        """Return the same images without their labels.

        Raises:
            PadimError: all labels say that the images show defects.
        """
        if self.kinds and all(map(says_bad, self.kinds.values())):
            listed = ", ".join(sorted(set(self.kinds.values()))[:5])
            raise PadimError(f"{self.label}: holds images of defects alone ({listed}); give good parts")
        return LabeledImages(self.images, self.count, self.label)


def open_labeled(path: Path, none_there: str = "") -> LabeledImages:
    """Open the images of a folder or zip, with their labels where it has any.

    Args:
        path: a folder, a zip or a CSV.
        none_there: error message if there are no images; default: how labelled images must be laid out.

    Raises:
        PadimError: the path contains no images, or their labels contradict each other.
    """
    try:
        dataset = open_dataset(path, good_needed=False)
    except (UnlabeledError, ImageError):
        source = open_source(path)
        if not len(source):
            if none_there:
                raise PadimError(f"{path}: {none_there}") from None
            raise
        return LabeledImages(source, len(source), path.name)
    return LabeledImages.of_dataset(dataset, path.name)


class ImageSelection:
    """Selection of some images: an iterable of (name, bytes) pairs that can be iterated repeatedly."""

    def __init__(self, images: Any, count: int, wanted: Callable[[int, str], bool]) -> None:
        """Select images by position or name.

        Args:
            images: all images.
            count: number of selected images.
            wanted: called with an image's position and name; returns whether it is selected.
        """
        self._images, self._count, self._wanted = images, count, wanted

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return ((name, data) for i, (name, data) in enumerate(self._images) if self._wanted(i, name))

    @property
    def skipped(self) -> list[ImageError]:
        """Errors of the files refused so far."""
        return list(self._images.skipped)

    @property
    def passed_over(self) -> list[PassedOver]:
        """Files that are not read because they are no images of the user's."""
        return list(self._images.passed_over)


def good_ones(given: LabeledImages) -> ImageSelection:
    """Select the images labelled good; all images if none is."""
    good = {name for name in given.kinds or () if given.kind_of(name) == GOOD}
    if not good:
        return ImageSelection(given.images, given.count, lambda place, name: True)
    return ImageSelection(given.images, len(good), lambda place, name: name in good)


def at_most(given: LabeledImages, most: int) -> ImageSelection:
    """Select at most ``most`` good images and at most ``most`` defects, evenly spaced over all.

    Evenly, because a station drifts over time: the first images alone would not represent it.

    Args:
        given: images in the order in which they were taken.
        most: largest number of each, at least 1.
    """
    if given.kinds is None:
        places = set(_evenly(range(given.count), most))
        return ImageSelection(given.images, len(places), lambda place, name: place in places)
    good = [name for name in given.kinds if given.kind_of(name) == GOOD]
    bad = [name for name in given.kinds if given.kind_of(name) != GOOD]
    names = {*_evenly(good, most), *_evenly(bad, most)}
    return ImageSelection(given.images, len(names), lambda place, name: name in names)


def _evenly(items: Iterable[Any], most: int) -> list[Any]:
    listed = list(items)
    n = len(listed)
    return listed if n <= most else [listed[i * n // most] for i in range(most)]
