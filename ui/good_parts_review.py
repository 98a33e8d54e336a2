"""State and data of the review of good parts: the viewer that opens on a tile, and the part excluded last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ui import library, viewing
from ui.app import state
from ui.app.text import multiple
from ui.files.media import ServedImage
from ui.scoring import areas_for, map_numbers

if TYPE_CHECKING:
    from padim.analysis.good_parts import RankedNormal
    from padim.model import Padim
    from padim.storage.model_folders import Entry

# Prefix of the keys of the dialog's containers that are about the selected image.
FOLLOWER = "fit-of"


@dataclass
class ReviewState:
    """The state of the review of one model's good parts in this session.

    Attributes:
        selected: viewer id of the image shown large; None before a tile was opened.
        opened: viewer id and status of the tile whose viewer is open, so that a run of the whole page, as at
            the end of a background job, does not close it; None if none is open.
        excluded: hash of the image whose part was excluded last, of which the new score is told.
        handled: serial numbers of the viewer's actions that the server has handled.
        look: opacity and colormap of the heatmap.
    """

    selected: str | None = None
    opened: tuple[str, str] | None = None
    excluded: str | None = None
    handled: viewing.HandledCounts = field(default_factory=viewing.HandledCounts)
    look: dict[str, Any] = field(default_factory=lambda: {"opacity": 0.45, "colormap": "inferno"})


@dataclass
class _ReviewStates:
    """The states of the review, by model id."""

    of: dict[str, ReviewState] = field(default_factory=dict)


def review_state(entry: Entry) -> ReviewState:
    """Return this session's state of the review of this model's good parts."""
    return state.of(_ReviewStates).of.setdefault(entry.id, ReviewState())


# -- the viewer -------------------------------------------------------------------------------------------


def can_open(model: Padim) -> bool:
    """Whether tiles open in the viewer: it shows held-out maps, decided by the threshold in use."""
    return model.state.fitted.calibration != "none" and model.current_threshold is not None


def image_id(model: Padim, index: int) -> str:
    """Return the id in the viewer of a normal, as on the Calibrate page."""
    return f"n{index}-{model.normals_[index].sha256[:12]}"


def index_of(model: Padim, viewer_id: str | None) -> int | None:
    """Return the index of the normal with this viewer id; None if the model has no such image any more."""
    return next((i for i in range(len(model.normals_)) if image_id(model, i) == viewer_id), None)


def images(entry: Entry, model: Padim, items: Sequence[RankedNormal]) -> list[viewing.ViewerImage]:
    """Return these normals as the viewer shows them, in the same order, as far as they have a held-out map.

    Args:
        entry: the saved model.
        model: the same model, opened and calibrated.
        items: its good parts, or parts that were excluded.
    """
    held = viewing.held_out(entry, model)
    if held is None:
        return []
    shown = {one.id: one for one in viewing.normals_shown(model, held, model.config.min_area)}
    found = []
    for item in items:
        one = shown.get(image_id(model, item.index))
        if one is not None:
            found.append(one)
        elif item.index < len(model.state.fitted.held_out) and not model.normals_[item.index].lost:
            found.append(_excluded_image(model, item))
    return found


def _excluded_image(model: Padim, item: RankedNormal) -> viewing.ViewerImage:
    """Return a part that is not in the calibration, scored by the model without it."""
    normal = model.normals_[item.index]
    return viewing.ViewerImage(
        image_id(model, item.index),
        normal.name,
        normal.sha256,
        "defect",
        normal.original_size,
        item.level or 0,
        ServedImage(model.working_set.thumbnail(item.index)),
        map_numbers(model.state.held_out_map(item.index), areas_for(model)),
        model.state.content_box(normal.original_size),
        model.state.placement(normal.pose, normal.original_size),
    )


def message(entry: Entry, model: Padim, shown: Sequence[viewing.ViewerImage]) -> dict[str, Any]:
    """Return the viewer's data: these images, decided by the threshold in use."""
    from padim.decision.guard_band import band_levels

    page = review_state(entry)
    return viewing.message(
        model,
        shown,
        mode="inspect",
        decision={
            "basis": "manual",
            "permille": model.decision.choice.permille,
            "level": model.threshold_level,
            "min_area": model.config.min_area,
        },
        selected=page.selected,
        look=page.look,
        labels={},
        kept=set(),
        handled=page.handled,
        band=band_levels(model.decision.guard, model.state.fitted.quantizer),
        held=viewing.held_out(entry, model),
        arranged=True,
        follower=FOLLOWER,
    )


def on_selected(entry: Entry, value: object) -> None:
    """Apply a selection message of the viewer."""
    event = viewing.selection(value)
    if event is not None:
        page = review_state(entry)
        page.selected = event.id
        page.handled.selected = max(page.handled.selected, event.count)


# -- after an exclusion ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Excluded:
    """What became of the part that was excluded last.

    Attributes:
        item: its image with the score by the model without it.
        not_good: whether it was excluded as not good, so that it is a defect.
        rejected: whether it would be rejected.
        sentence: the outcome in words, without the name.
    """

    item: RankedNormal
    not_good: bool
    rejected: bool
    sentence: str


def last_excluded(entry: Entry, model: Padim, items: Sequence[RankedNormal]) -> Excluded | None:
    """Return what became of the part excluded last; None if it is back in the fit, or nothing decides.

    Args:
        entry: the saved model.
        model: the same model, opened.
        items: its excluded parts.
    """
    sha256 = review_state(entry).excluded
    item = next((one for one in items if model.normals_[one.index].sha256 == sha256), None)
    threshold = model.current_threshold
    if item is None or item.level is None or threshold is None:
        return None
    verdict = model.verdict(item.level)
    outcome = {
        "reject": "it would be rejected",
        "review": "it would go to review",
        "accept": "it would still be accepted",
    }[verdict]
    times = multiple(item.value, model.state.fitted.quantizer.to_value(threshold.level))
    return Excluded(
        item,
        model.normals_[item.index].status == "not_good",
        verdict == "reject",
        f"The model no longer contains it: it now scores {times} threshold, so {outcome}.",
    )


def offered_as_defect(entry: Entry, model: Padim, item: RankedNormal) -> bool:
    """Whether an excluded part can be tested as a defect: the image library has its original."""
    from padim.records.library import ImageQuery

    sha256 = model.normals_[item.index].sha256
    return bool(library.library(entry).images(ImageQuery(only=frozenset({sha256}))))
