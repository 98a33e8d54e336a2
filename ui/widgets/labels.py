"""The users' labels of images, stored by the hash of the image's file so that they apply to every copy.

Labels are those of the model's image library (:mod:`padim.records.labels`), wherever they were given. To
*keep* an image is not a label: it only takes the image off the list of changed verdicts, for the rest of the
session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from ui.app import state

if TYPE_CHECKING:
    from padim.records.labels import ImageLabel
    from padim.records.library import ImageLibrary
    from padim.storage.model_folders import Entry

Label = Literal["good", "defect"]


@dataclass
class _Kept:
    """The hashes of images that were taken off the list of changes, by model id."""

    of: dict[str, set[str]] = field(default_factory=dict)


def labels(entry: Entry) -> dict[str, Label]:
    """Return the labels of this model's images, by the SHA-256 of the image's file."""
    return cast("dict[str, Label]", _library(entry).labels())


def kept(entry: Entry) -> set[str]:
    """Return the hashes of images that this session has taken off the list of changes."""
    return state.of(_Kept).of.setdefault(entry.id, set())


def keep(entry: Entry, sha256: str, *, off: bool = True) -> None:
    """Take an image off the list of changes, or put it back; its label stays."""
    (kept(entry).add if off else kept(entry).discard)(sha256)


def put(
    entry: Entry, sha256: str, label: Label | None, *, instead_of: Label | Literal["any"] | None = "any"
) -> None:
    """Set or remove the label of an image.

    Args:
        entry: the model with which the label is stored.
        sha256: hash of the image's file.
        label: the label; None removes it.
        instead_of: change the label only if this is the present one (None: not labeled).

    Raises:
        OSError: the model was deleted.
        StorageError: the label cannot be saved.
    """
    former: ImageLabel | Literal["any"] = "unknown" if instead_of is None else instead_of
    _library(entry).set_label([sha256], label or "unknown", instead_of=former)


def _library(entry: Entry) -> ImageLibrary:
    from padim.records.library import ImageLibrary

    return ImageLibrary(entry.path.parents[1], entry.id)


def forget_kept(entry: Entry) -> None:
    """Put all images back on the list of changes, because another threshold is in use."""
    state.of(_Kept).of.pop(entry.id, None)
