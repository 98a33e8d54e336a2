"""Messages of the viewer that label images: checked, counted once, and stored with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ui import viewing
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from ui.scoring import KnownLabel


class LabelMessage(BaseModel, strict=True):
    """A message of the viewer that labels an image, by its hash; ``count`` increases with each message.

    With ``undo``, ``label`` is the former label, and it only replaces ``instead_of``, the label being undone:
    a label that another session has set meanwhile stays.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    label: Literal["good", "defect", "kept", "unkept"] | None
    count: viewing.Count
    undo: bool = False
    instead_of: Literal["good", "defect"] | None = None


_MESSAGES = TypeAdapter(list[LabelMessage])


def received(handled: viewing.HandledCounts, value: object) -> list[LabelMessage]:
    """Return the labels in what the viewer has sent that are new, and count them as handled.

    Args:
        handled: the counts of the page, which are changed.
        value: what the viewer has sent; anything invalid has no labels.
    """
    try:
        sent = _MESSAGES.validate_python(value)
    except ValidationError:
        return []
    new = [one for one in sent if one.count > handled.labels]
    handled.labels = max([handled.labels, *(one.count for one in new)])
    return new


def apply(entry: Entry, one: LabelMessage, came_with: KnownLabel = "unknown") -> None:
    """Store a label, or the mark that takes an image off the list of changes.

    Args:
        entry: the model.
        one: the message.
        came_with: the label that the image came with, which it has again when the one by key is taken away.

    Raises:
        OSError: the model was deleted.
        StorageError: the label cannot be saved.
    """
    if one.label == "kept" or one.label == "unkept":
        labels.keep(entry, one.sha256, off=one.label == "kept")
        return
    label = one.label or (None if came_with == "unknown" else came_with)
    if one.undo:
        labels.put(entry, one.sha256, label, instead_of=one.instead_of)
    else:
        labels.put(entry, one.sha256, label)
