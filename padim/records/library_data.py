"""The images of a library as a source of images, or as a labelled data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from padim.data.account import PassedOver
from padim.data.datasets import Dataset
from padim.data.layouts import LabeledSample
from padim.data.sources import UploadSource
from padim.errors import ImageError
from padim.records.image_files import ImageFiles
from padim.records.image_records import LibraryImage
from padim.records.library import ImageLibrary

LAYOUT = "image library"


def by_name(images: Iterable[LibraryImage]) -> dict[str, LibraryImage]:
    """Return images by unique names: a second "a.png" is "a (2).png"."""
    found: dict[str, LibraryImage] = {}
    numbers: dict[str, int] = {}
    for image in images:
        name = image.name
        while name in found:
            numbers[image.name] = numbers.get(image.name, 1) + 1
            suffix = PurePosixPath(image.name).suffix
            name = f"{image.name.removesuffix(suffix)} ({numbers[image.name]}){suffix}"
        found[name] = image
    return found


def source_of(images: Iterable[LibraryImage], *, known_good: bool = False) -> UploadSource:
    """Return images as a source, which reads their files when it is iterated.

    Args:
        images: the images.
        known_good: whether all of them are good parts, so that names of folders say nothing.
    """
    source = UploadSource([(name, image.path) for name, image in by_name(images).items()])
    source.known_good = known_good
    return source


def dataset_of(
    library: ImageLibrary, images: Sequence[LibraryImage], training: Sequence[LibraryImage] = ()
) -> Dataset:
    """Return images with their labels and masks as a data set; those without a label are passed over.

    Args:
        library: the library that has them.
        images: the images to evaluate.
        training: good parts to fit on, none of ``images``.
    """
    named = by_name([*training, *images])
    to_fit = {image.sha256 for image in training}
    samples: list[LabeledSample] = []
    fit_on: list[LabeledSample] = []
    passed_over = []
    for name, image in named.items():
        if image.sha256 in to_fit:
            fit_on.append(LabeledSample(name, "good", (), name))
        elif image.label == "unknown":
            passed_over.append(PassedOver(name, "has no label", by_layout=True))
        else:
            masks = tuple(f"{_MASKS}{mask.sha256}" for mask in image.masks)
            samples.append(LabeledSample(name, image.kind, () if image.label == "good" else masks, name))
    samples.sort(key=lambda sample: not sample.good)  # good ones first, as in every data set
    tree = _LibraryTree(library.files, named)
    return Dataset(LAYOUT, tree, samples, training=fit_on, passed_over=passed_over)


_MASKS = "masks/"


class _LibraryTree:
    """The files of a library as a tree of files: images by name, masks by their SHA-256."""

    def __init__(self, files: ImageFiles, named: dict[str, LibraryImage]) -> None:
        self.images = list(named)
        self.tables: list[str] = []
        self.documents: list[str] = []
        self.skipped: list[ImageError] = []
        self.passed_over: list[PassedOver] = []
        self._files = files
        self._digests = {name: image.sha256 for name, image in named.items()}
        for image in named.values():
            self._digests |= {f"{_MASKS}{mask.sha256}": mask.sha256 for mask in image.masks}

    def read(self, name: str) -> bytes:
        """Return the bytes of an image's or a mask's file; raise ImageError if it cannot be read."""
        return self._files.read(self._digests[name], name)

    def restart(self) -> None:
        """Do nothing: the files can be read as often as needed."""
