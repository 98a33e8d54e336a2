"""Images that a model knows already, so that they are not counted as evidence about new images.

A model scores an image that it was fitted on lower than it would score a new one, so figures over such images
are too good. One rule finds them everywhere, by content and whatever their names are: an image is the same as
one of the model's when its file has the same bytes, or when the decoded and resized pixels that the network
sees are the same, which finds a copy that was saved again without loss (PNG as BMP or TIFF, other metadata).

Limits: a copy that was saved again with loss (as JPEG), cropped or resized is another image to this rule.
Models saved before the pixels were recorded are compared by the bytes of the files alone.

What counts as *in the fit* are the images whose features the model has, and those that its network was
adapted with. A good part that is kept out of the fit, and an image marked as not good, are scored as unseen;
the former takes part in the calibration, so that it is no evidence about the promised rate either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from padim.data.account import PassedOver
from padim.storage.normals import Status
from padim.text import count

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = [
    "IN_FIT",
    "Content",
    "ContentHashes",
    "KnownImages",
    "LabelConflicts",
    "all_known",
    "left_out",
    "marked",
    "passed_over",
    "two_labels",
]

IN_FIT = "was in the fit"
"""The note on a scored image that the model was fitted on."""

# The number of pairs of images that a sentence names.
_NAMED = 5
# A status that stands before another one if an image has both, as copies of one file may.
_ORDER: tuple[Status, ...] = ("not_good", "kept_out", "reference", "fit")


class Content(Protocol):
    """An image with the hashes of its content."""

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the file's bytes."""

    @property
    def input_sha256(self) -> str:
        """Hex SHA-256 of the pixels that the network sees; empty if not known."""


@dataclass(frozen=True)
class ContentHashes:
    """The hashes of an image's content, where there is no other object that has them.

    Attributes:
        sha256: hex SHA-256 of the file's bytes.
        input_sha256: hex SHA-256 of the pixels that the network sees; empty if not known.
    """

    sha256: str
    input_sha256: str = ""


class _KnownImage(Content, Protocol):
    """An image that a model has, with its status."""

    @property
    def status(self) -> Status:
        """Its status."""


class KnownImages:
    """The images of one model, found by their content."""

    def __init__(self, images: Iterable[_KnownImage], adapted_with: Iterable[str] = ()) -> None:
        """
        Args:
            images: the images that the model has, such as ``model.normals_``.
            adapted_with: the SHA-256 of images that its network was adapted with.
        """
        self._status: dict[str, Status] = dict.fromkeys(adapted_with, "fit")
        for image in sorted(images, key=lambda image: _ORDER.index(image.status)):
            for key in (image.sha256, image.input_sha256):
                if key and self._status.get(key) != "fit":
                    # The fit depends on the reference part too: it says nothing about new parts.
                    self._status[key] = "fit" if image.status == "reference" else image.status

    @classmethod
    def of(cls, model: Padim) -> Self:
        """Return the images of a model."""
        return cls(model.normals_, model.network.adapted_with)

    def status(self, image: Content) -> Status | None:
        """Return the status that an image has in the model; None if the model does not know it."""
        found = {self._status.get(key) for key in (image.sha256, image.input_sha256) if key}
        return next((status for status in reversed(_ORDER) if status in found), None)

    def in_fit(self, image: Content) -> bool:
        """Return whether the model was fitted on the image."""
        return self.status(image) == "fit"


class LabelConflicts:
    """Images that are among both the good parts and the defects of a data set, so that one label is wrong."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, bool], str] = {}
        self._found: dict[tuple[str, str], None] = {}

    @classmethod
    def of(cls, model: Padim) -> Self:
        """Return the good parts of a model, to which labeled images are added."""
        found = cls()
        for normal in model.normals_:
            if normal.status != "not_good":
                found.add(f"{normal.name} of the model's good parts", normal, good=True)
        return found

    def add(self, name: str, image: Content, *, good: bool) -> None:
        """Add a labeled image."""
        for key in (image.sha256, image.input_sha256):
            if key:
                self._first.setdefault((key, good), name)
                other = self._first.get((key, not good))
                if other is not None:
                    self._found[(name, other) if good else (other, name)] = None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the names of identical images, that labeled good first, in order of their discovery."""
        return tuple(self._found)


def passed_over(names: Iterable[str]) -> tuple[PassedOver, ...]:
    """Return the entries of images in the fit for the account of all files."""
    return tuple(PassedOver(name, "in the fit, so not counted") for name in names)


def left_out(known: int, total: int) -> str:
    """Return the sentence that says how many images of a set were in the fit and are not counted.

    Args:
        known: the number of images in the fit, at least 1.
        total: the number of all images of the set that can be used.
    """
    was = "was" if known == 1 else "were"
    return (
        f"{known:,} of {count(total, 'image')} {was} in the fit and {'is' if known == 1 else 'are'} left "
        "out: figures that count them are too optimistic"
    )


def marked(known: int, total: int) -> str:
    """Return the sentence that says how many scored images were in the fit and are marked as such.

    Args:
        known: the number of images in the fit, at least 1.
        total: the number of all images scored.
    """
    return (
        f"{known:,} of {count(total, 'image')} {'was' if known == 1 else 'were'} in the fit and "
        f"{'is' if known == 1 else 'are'} marked: a model scores them lower than new ones, so their verdicts "
        "say nothing about new parts"
    )


def two_labels(conflicts: Sequence[tuple[str, str]]) -> str:
    """Return the sentence that names identical images labeled both good and as a defect.

    Args:
        conflicts: names, that labeled good first; at least one pair.
    """
    pairs = ", ".join(f"{good} and {defect}" for good, defect in conflicts[:_NAMED])
    more = len(conflicts) - _NAMED
    what = "image is" if len(conflicts) == 1 else "images are"
    return (
        f"{len(conflicts):,} {what} labeled both good and as a defect, of which one is wrong: {pairs}"
        f"{f' and {more:,} more' if more > 0 else ''}"
    )


def all_known(known: int) -> str:
    """Return the error text for a set of images that were all in the fit."""
    every = "the only image was" if known == 1 else f"all {known:,} images were"
    return (
        f"none of the images can be counted: {every} in the fit, and a model scores them lower than new "
        "ones; give images that it has not seen"
    )
