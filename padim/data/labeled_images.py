"""Images with what is known of each: labels where there are any, and choices among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.data.datasets import GOOD, open_dataset
from padim.data.opening import open_source
from padim.errors import ImageError, PadimError

if TYPE_CHECKING:
    from padim.data.datasets import Dataset

__all__ = ["ImageSelection", "LabeledImages", "at_most", "good_ones", "open_labeled"]


@dataclass(frozen=True)
class LabeledImages:
    """Images and their labels; without labels they are all taken for good parts.

    Attributes:
        images: (name, bytes) pairs, read as often as needed.
        count: how many there are.
        label: what they are, as the user knows it.
        kinds: what is wrong with each, or ``good``, by name; None without labels.
        layout: what the reader of the labels calls them; empty without labels.
    """

    images: Any
    count: int
    label: str
    kinds: dict[str, str] | None = None
    layout: str = ""

    @classmethod
    def of_dataset(cls, dataset: Dataset, label: str) -> LabeledImages:
        """The images of a labelled data set."""
        kinds = {name: sample.kind for name, sample in dataset.samples.items()}
        return cls(dataset, len(dataset), label, kinds, dataset.layout)

    @property
    def good(self) -> int:
        """How many are good, or taken for good."""
        return self.count if self.kinds is None else sum(kind == GOOD for kind in self.kinds.values())

    @property
    def defects(self) -> int:
        """How many are labelled as defects."""
        return self.count - self.good

    def kind_of(self, name: str) -> str:
        """``good``, or what is wrong with the image of that name."""
        return GOOD if self.kinds is None else self.kinds[name]

    def all_good(self) -> LabeledImages:
        """The same images without their labels."""
        return LabeledImages(self.images, self.count, self.label)


def open_labeled(path: Path, none_there: str = "") -> LabeledImages:
    """The images of a folder or zip, with their labels where it has any.

    Args:
        path: of a folder, a zip or a CSV.
        none_there: what to say where there are no images; default: how labelled ones are laid out.

    Raises:
        PadimError: no images there.
    """
    try:
        dataset = open_dataset(path)
    except PadimError:
        source = open_source(path)
        if not len(source):
            if none_there:
                raise PadimError(f"{path}: {none_there}") from None
            raise
        return LabeledImages(source, len(source), path.name)
    return LabeledImages.of_dataset(dataset, path.name)


class ImageSelection:
    """Some of the images, one at a time; (name, bytes) pairs, read as often as needed."""

    def __init__(self, images: Any, count: int, wanted: Callable[[int, str], bool]) -> None:
        """
        Args:
            images: all of them.
            count: of those wanted.
            wanted: whether an image is, from its position and its name.
        """
        self._images, self._count, self._wanted = images, count, wanted

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return ((name, data) for i, (name, data) in enumerate(self._images) if self._wanted(i, name))

    @property
    def skipped(self) -> list[ImageError]:
        """Files passed over so far."""
        return list(self._images.skipped)


def good_ones(given: LabeledImages) -> ImageSelection:
    """The good ones; all, where nobody says which those are."""
    good = {name for name in given.kinds or () if given.kind_of(name) == GOOD}
    if not good:
        return ImageSelection(given.images, given.count, lambda place, name: True)
    return ImageSelection(given.images, len(good), lambda place, name: name in good)


def at_most(given: LabeledImages, most: int) -> ImageSelection:
    """At most so many good ones and so many defects, evenly over all: a station drifts.

    Args:
        given: in the order they were taken.
        most: at least 1.
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
