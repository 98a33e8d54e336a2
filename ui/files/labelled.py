"""Pictures that were brought, with what is known of each: labels where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from padim.errors import PadimError
from ui.files import bring, folders

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.errors import ImageError


@dataclass(frozen=True)
class Labelled:
    """Pictures and their labels; without labels they are all taken for good parts.

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

    @property
    def good(self) -> int:
        """How many are good, or taken for good."""
        from padim.data.datasets import GOOD

        return self.count if self.kinds is None else sum(kind == GOOD for kind in self.kinds.values())

    @property
    def defects(self) -> int:
        """How many are labelled as defects."""
        return self.count - self.good

    def kind_of(self, name: str) -> str:
        """``good``, or what is wrong with that picture."""
        from padim.data.datasets import GOOD

        return GOOD if self.kinds is None else self.kinds[name]

    def all_good(self) -> Labelled:
        """The same pictures without their labels."""
        return Labelled(self.images, self.count, self.label)


def of(brought: bring.Brought) -> Labelled:
    """What was brought, with its labels where it has any.

    A folder without labels may look like one of a single kind of defect; :meth:`Labelled.all_good` is for
    those who know better.

    Raises:
        PadimError: no pictures, or pictures that cannot be read.
    """
    try:
        found = _dataset(brought)
    except PadimError:
        found = None  # pictures without labels are fine
    if found is None:
        number = len(brought.source)
        if not number:
            for _ in brought.source:
                pass  # what was passed over, and why, is known after a look at all of it
            why = next((f" ({error})" for error in brought.source.skipped), "")
            raise PadimError(f"{brought.label}: holds no pictures{why}")
        return Labelled(brought.source, number, brought.label)
    kinds = {name: sample.kind for name, sample in found.samples.items()}
    return Labelled(found, len(found), brought.label, kinds, found.layout)


def _dataset(brought: bring.Brought) -> Dataset | None:
    from padim.data.datasets import open_uploads

    if brought.path is not None:
        return open_folder(brought.path)
    return open_uploads(brought.files) if brought.files else None


def open_folder(path: Path) -> Dataset:
    """The labelled pictures of a folder or zip on the server.

    Raises:
        PadimError: it has none.
    """
    from padim.data.datasets import open_dataset

    # What lies beside a folder is open to the app only where the folder above is.
    return open_dataset(path, beside=path not in folders.roots())


class Some:
    """Some of the pictures, one at a time; (name, bytes) pairs as the engine takes them."""

    def __init__(self, images: Any, count: int, wanted: Callable[[int, str], bool]) -> None:
        """
        Args:
            images: all of them.
            count: of those wanted.
            wanted: whether a picture is, from its place and its name.
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


def good_ones(pictures: Labelled) -> Some:
    """The good ones; all, where nobody says which those are."""
    names = set(pictures.kinds or ())
    good = {name for name in names if pictures.kind_of(name) == "good"}
    if not good:
        return Some(pictures.images, pictures.count, lambda place, name: True)
    return Some(pictures.images, len(good), lambda place, name: name in good)


def at_most(pictures: Labelled, most: int) -> Some:
    """At most so many good ones and so many defects, evenly over all: a station drifts.

    Args:
        pictures: in the order they were brought.
        most: at least 1.
    """
    if pictures.kinds is None:
        places = set(_evenly(range(pictures.count), most))
        return Some(pictures.images, len(places), lambda place, name: place in places)
    good = [name for name in pictures.kinds if pictures.kind_of(name) == "good"]
    bad = [name for name in pictures.kinds if pictures.kind_of(name) != "good"]
    names = {*_evenly(good, most), *_evenly(bad, most)}
    return Some(pictures.images, len(names), lambda place, name: name in names)


def _evenly(items: Iterable[Any], most: int) -> list[Any]:
    listed = list(items)
    n = len(listed)
    return listed if n <= most else [listed[i * n // most] for i in range(most)]
