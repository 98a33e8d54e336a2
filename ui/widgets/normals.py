"""The good parts of a fitted model on the pages: their images, exclusion and inclusion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import streamlit as st

from padim.errors import PadimError
from ui.app import workspace
from ui.files.media import ServedImage
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry

Reason = Literal["not_good", "kept_out"]
REASONS: dict[Reason, str] = {
    "not_good": "Not a good part",
    "kept_out": "Good, but excluded from the fit",
}


def overlay_of(
    entry: Entry, model: Padim, index: int, level: int | None = None, min_area: int | None = None
) -> ServedImage:
    """Return a normal's small image with the heatmap of its held-out map, or without if there is no map.

    Args:
        entry: the saved model; its revision is part of the cache key.
        model: the same model, opened.
        index: index into ``model.normals_``.
        level: a threshold to try, as a level; by default the one in use.
        min_area: a smallest region to try, in map pixels; by default the one in use.
    """
    if level is None:
        threshold = model.current_threshold
        level = threshold.level if threshold is not None else None
    no_map = model.state.fitted.calibration == "none" or index >= len(model.state.fitted.held_out)
    # Where the part was not found, no place of the map belongs to a place of the image.
    if level is None or no_map or model.normals_[index].lost:
        return ServedImage(model.working_set.thumbnail(index))
    area = model.config.min_area if min_area is None else min_area
    return ServedImage(_overlay_of(model, workspace.held_out_identity(entry), index, level, area))


@st.cache_resource(max_entries=1000, show_spinner=False)
def _overlay_of(_model: Padim, identity: str, index: int, level: int, min_area: int) -> bytes:
    from padim.data.decode import decode
    from padim.output.small_overlays import overlay_jpeg

    rgb = decode(_model.working_set.thumbnail(index), _model.normals_[index].name)
    normal, size = _model.normals_[index], (rgb.shape[0], rgb.shape[1])
    place = _model.state.placement(normal.pose, normal.original_size)
    if place is not None:
        place = place.on(normal.original_size, size)
    box = _model.state.content_box(size)
    return overlay_jpeg(rgb, _model.state.held_out_map(index), level, min_area, box, placement=place)


def find(model: Padim, sha256: str) -> tuple[int, str]:
    """Return index and name of a normal, by its hash: an index may be another image's in a changed model.

    Raises:
        PadimError: the model has no such image any more.
    """
    for index, normal in enumerate(model.normals_):
        if normal.sha256 == sha256:
            return index, normal.name
    raise PadimError("the image is no longer among the model's good parts")


def exclude(entry: Entry, sha256: str, reason: Reason) -> None:
    """Exclude a part from the fit (an exact downdate of the statistics) and save the model.

    Args:
        entry: the model.
        sha256: hash of an image of the part.
        reason: why it is excluded.
    """
    with workspace.edit(entry, what="excluding a part from the fit") as model:
        model.exclude(find(model, sha256)[0], reason)
    label_excluded(entry, sha256, reason)


def include(entry: Entry, sha256: str) -> None:
    """Include a part again, which restores the former model bit for bit, and save the model."""
    with workspace.edit(entry, what="putting a part back into the fit") as model:
        model.include(find(model, sha256)[0])
    label_included(entry, sha256)


def label_excluded(entry: Entry, sha256: str, reason: Reason) -> None:
    """Label a part that was taken out because it is not good as a defect, the library's one label of it."""
    if reason == "not_good":
        _relabel(entry, sha256, "defect")


def label_included(entry: Entry, sha256: str) -> None:
    """Label a part that was put back into the fit as good, if it was labeled as a defect."""
    if labels.labels(entry).get(sha256) == "defect":
        _relabel(entry, sha256, "good")


def _relabel(entry: Entry, sha256: str, label: labels.Label) -> None:
    # The model is saved already: a label that cannot be stored must not look like a failure of that.
    try:
        labels.put(entry, sha256, label)
    except (PadimError, OSError):
        logging.getLogger(__name__).warning("the label of an excluded part was not stored", exc_info=True)


def delete_features(entry: Entry) -> None:
    """Delete the normals' features from disk; a checkpoint stays."""
    with workspace.edit(entry, what="deleting its working features") as model:
        model.working_set.delete()
