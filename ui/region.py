"""Logic of Fit, Region: the shapes being drawn, their mask, and the effects of saving it.

Nothing here runs the network: the good parts' held-out grids are scored again under another mask.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st
from pydantic import BaseModel, Field, ValidationError

from padim.input_size import InputSize
from ui.app import state, workspace
from ui.app.text import count
from ui.files.media import ServedImage
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.analysis.region_preview import HeldOutUnder, RegionPreview
    from padim.decision.calibration import FalseRejectRate
    from padim.decision.roi import Shape
    from padim.model import Padim
    from padim.storage.model_folders import Entry

Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.int64]

# Corners of all shapes together. More are not drawn by hand, and would keep the server busy at every stroke.
MOST_POINTS = 100_000

EMPTY = (
    "Nothing would be scored: these shapes leave no part of the map. Include an area, or take shapes away."
)

# RGB of the fewest and of the most parts: yellow to red stand out on metal, on cloth and on dark images.
_FEWEST, _MOST = (255, 214, 64), (214, 0, 60)
_STOPS = 6


# -- the drawing -----------------------------------------------------------------------------------------


@dataclass
class Drawing:
    """The region being drawn for one model in this session.

    Attributes:
        shapes: the drawn shapes; None until something is drawn, which means the region in use.
        size: input size of the model whose map they were drawn on.
        stamp: how often Python, rather than the editor, has set the shapes.
        handled: serial number of the editor's last drawing that the server has handled.
    """

    shapes: tuple[Shape, ...] | None = None
    size: InputSize = 0
    stamp: int = 0
    handled: int = 0


@dataclass
class _Drawings:
    """The drawings of this session, by model id."""

    of: dict[str, Drawing] = field(default_factory=dict)

    def begin_page(self) -> None:
        """Keep the shapes for a page that was loaded again; its editor counts its drawings anew."""
        for drawn in self.of.values():
            drawn.handled = 0


def drawing(entry: Entry, model: Padim) -> Drawing:
    """Return this session's drawing for this model; one for a map of another size is dropped."""
    found = state.lasting(_Drawings).of.setdefault(entry.id, Drawing())
    if found.shapes is not None and found.size != model.config.input_size:
        discard_draft(found)
    return found


def discard_draft(drawn: Drawing) -> None:
    """Drop the draft, so that the region in use is shown again."""
    drawn.shapes = None
    drawn.stamp += 1


class _Message(BaseModel, strict=True):
    """A message of the editor that the drawing has changed; the shapes are validated one by one later."""

    model: str
    width: int
    height: int
    serial: int = Field(ge=0, lt=2**53)
    shapes: list[Any]


def on_drawing(entry: Entry, model: Padim, value: object) -> None:
    """Apply a drawing message of the editor.

    An invalid message, or one for another model, is ignored; the editor then shows the server's shapes.
    """
    from padim.decision.roi import from_json
    from padim.errors import PadimError

    try:
        event = _Message.model_validate(value)
    except ValidationError:
        return
    if event.model != entry.id or (event.height, event.width) != model.config.input_shape:
        return
    drawn = drawing(entry, model)
    drawn.handled = event.serial
    try:
        shapes = from_json(event.shapes)
    except PadimError:
        return
    if sum(len(shape.points) for shape in shapes) <= MOST_POINTS:
        drawn.shapes, drawn.size = shapes, model.config.input_size


# -- the resulting region --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EditedRegion:
    """A region of interest: its shapes and the resulting mask.

    Attributes:
        shapes: the drawn shapes; empty for the whole map, and for a region in use that was not drawn.
        mask: bool ``(h, w)``, True where defects count; None means everywhere.
    """

    shapes: tuple[Shape, ...]
    mask: Mask | None

    @property
    def empty(self) -> bool:
        """Whether the mask excludes the whole map."""
        return self.mask is not None and not self.mask.any()

    @property
    def share(self) -> float:
        """Return the share of the map inside the region, 0 to 1."""
        return 1.0 if self.mask is None else float(self.mask.mean())


def in_use(model: Padim) -> EditedRegion:
    """Return the model's region in use."""
    return EditedRegion(model.decision.roi_shapes, model.decision.roi)


def draft(drawn: Drawing, model: Padim) -> EditedRegion:
    """Return the region of the drawn shapes, or the region in use if nothing was drawn."""
    if drawn.shapes is None:
        return in_use(model)
    return EditedRegion(drawn.shapes, _rasterized(drawn.shapes, model.config.input_shape))


@lru_cache(maxsize=8)
def _rasterized(shapes: tuple[Shape, ...], shape: tuple[int, int]) -> Mask | None:
    from padim.decision.roi import rasterize

    mask = rasterize(shapes, shape)
    if mask is not None:
        mask.flags.writeable = False  # shared by all sessions
    return mask


def same(model: Padim, region: EditedRegion) -> bool:
    """Whether a region is the one in use, shape by shape."""
    now = in_use(model)
    if region.shapes != now.shapes:
        return False
    one, other = region.mask, now.mask
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def too_small(model: Padim, region: EditedRegion) -> bool:
    """Whether the region is too small for any defect region of the smallest size that counts."""
    from padim.analysis.region_preview import too_small

    return too_small(model, region.mask)


# -- effects of saving -----------------------------------------------------------------------------------


def promise(entry: Entry, model: Padim, region: EditedRegion) -> RegionPreview:
    """Compute the threshold and the false-reject rate that saving a region would give; change nothing.

    Args:
        entry: the saved model.
        model: the same model, opened.
        region: the region, which must not be empty.
    """
    from padim.analysis.region_preview import preview

    held_out = None
    if model.state.fitted.calibration != "none":
        settings = model.config.min_area, model.decision.choice.basis == "pixel"
        held_out = _held_out(model, _identity(entry), _digest(region.mask), settings, region.mask)
    return preview(model, region.mask, held_out)


@st.cache_resource(max_entries=32, show_spinner=False)
def _held_out(
    _model: Padim, identity: str, digest: str, settings: tuple[int, bool], _mask: Mask | None
) -> HeldOutUnder:
    from padim.analysis.region_preview import held_out_under

    return held_out_under(_model, _mask)


def _identity(entry: Entry) -> str:
    """Return a string that changes whenever the good parts or their held-out maps would."""
    normals = entry.manifest.get("files", {}).get("normals.json", {}).get("sha256")
    return f"{workspace.held_out_identity(entry)} {normals}"


def _digest(mask: Mask | None) -> str:
    return "" if mask is None else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()


def save(entry: Entry, region: EditedRegion, size: InputSize) -> None:
    """Save a region as the model's region of interest.

    Args:
        entry: the saved model.
        region: the region; without a mask, the whole map.
        size: input size of the model whose map it was drawn on.

    Raises:
        PadimError: the region is empty, or the model now has a map of another size.
        OSError: the model cannot be saved.
    """
    from padim.errors import PadimError

    if region.empty:
        raise PadimError(EMPTY)
    with workspace.edit(entry, what="changing the region of interest") as model:
        if model.config.input_size != size:
            raise PadimError("the model was fitted again with another input size; draw the region again")
        model.set_roi(region.mask, region.shapes)
    # Verdicts change with the region, so no image stays off the list of changes.
    labels.forget_kept(entry)
    state.lasting(_Drawings).of.setdefault(entry.id, Drawing()).shapes = None


def score_everywhere(entry: Entry, model: Padim) -> None:
    """Remove the region in use, so that the whole map is scored; the editor can still undo it.

    Raises:
        PadimError: the model now has a map of another size.
        OSError: the model cannot be saved.
    """
    save(entry, EditedRegion((), None), model.config.input_size)
    discard_draft(drawing(entry, model))


# -- images --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FalseAlarmMap:
    """The false-alarm map: where good parts exceed the threshold in use.

    Attributes:
        image: PNG with transparency, in map pixels; None if no good part exceeds the threshold anywhere.
        colors: the color scale, from one part to the most, as CSS colors.
        most: the largest number of parts that exceed it at one position.
        parts: the number of good parts.
    """

    image: ServedImage | None
    colors: tuple[str, ...]
    most: int
    parts: int


def false_alarms(entry: Entry, model: Padim) -> FalseAlarmMap | None:
    """Return the false-alarm map, or None without held-out scores or without a threshold."""
    threshold = model.current_threshold
    if model.state.fitted.calibration == "none" or threshold is None:
        return None
    return _false_alarm_map(model, _identity(entry), threshold.level)


@st.cache_resource(max_entries=8, show_spinner="Looking where good parts alarm")
def _false_alarm_map(_model: Padim, identity: str, level: int) -> FalseAlarmMap:
    from padim.analysis.region_preview import false_alarm_map

    share = false_alarm_map(_model, level)
    parts = len(_model.state.part_scores(_model.config.min_area))
    most = float(share.max())
    if most == 0:
        return FalseAlarmMap(None, (), 0, parts)
    rgba = _tint(share / most)
    rgba[share == 0] = 0
    stops = _tint(np.linspace(1 / round(most * parts), 1, _STOPS))
    colors = tuple(f"rgba({r}, {g}, {b}, {a / 255:.2f})" for r, g, b, a in stops.tolist())
    return FalseAlarmMap(_png(rgba), colors, round(most * parts), parts)


def _tint(share: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return RGBA colors, uint8 ``(..., 4)``, of shares of the maximum, 0 to 1."""
    ends = np.array([(*_FEWEST, 165), (*_MOST, 215)], np.float64)
    return np.rint(ends[0] + (ends[1] - ends[0]) * share[..., None]).astype(np.uint8)


def mean_image(entry: Entry, model: Padim) -> ServedImage:
    """Return the mean image of the good parts in the fit, as PNG in map pixels.

    Raises:
        PadimError: the stored thumbnails are damaged, or none is in the fit.
    """
    files = entry.manifest.get("files", {})
    shown = [str(files.get(name, {}).get("sha256")) for name in ("thumbnails.bin", "normals.json")]
    return _mean(model, " ".join(shown), model.config.input_size, model.config.fit)


@st.cache_resource(max_entries=4, show_spinner="Averaging the good parts")
def _mean(_model: Padim, shown: str, size: InputSize, fit: str) -> ServedImage:
    from padim.analysis.region_preview import mean_normal
    from padim.output.render import encode_png

    return ServedImage(encode_png(mean_normal(_model)))


def excluded(region: EditedRegion) -> ServedImage | None:
    """Return a PNG in map pixels, opaque outside the region and clear inside; None for the whole map."""
    if region.mask is None:
        return None
    rgba = np.zeros((*region.mask.shape, 4), np.uint8)
    rgba[~region.mask, 3] = 255
    return _png(rgba)


def _png(rgba: npt.NDArray[np.uint8]) -> ServedImage:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG", compress_level=3)
    return ServedImage(buffer.getvalue())


# -- the message -----------------------------------------------------------------------------------------


def message(entry: Entry, model: Padim, drawn: Drawing, region: EditedRegion) -> dict[str, Any]:
    """Return the complete data of the editor, ready to be encoded as JSON.

    Raises:
        PadimError: there is no mean image to draw on.
    """
    from padim.decision.roi import MAX_POINTS, MAX_SHAPES, to_json

    found = false_alarms(entry, model)
    mask = excluded(region)
    height, width = model.config.input_shape
    return {
        "model": entry.id,
        "width": width,
        "height": height,
        "handled": drawn.handled,
        "shapes": to_json(region.shapes),
        "mean": mean_image(entry, model).url("region-mean"),
        "mask": None if mask is None else mask.url("region-mask"),
        "share": f"{percent(region.share)} of the map is scored",
        "false_alarms": None
        if found is None or found.image is None
        else {
            "url": found.image.url("region-false-alarms"),
            "colors": list(found.colors),
            "least": "1 part" if found.most > 1 else "",
            "most": most_often_text(found),
        },
        "calm": no_map_text(found, model),
        "most_shapes": MAX_SHAPES,
        "most_points": MOST_POINTS,
        "most_corners": MAX_POINTS,
    }


# -- texts -----------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """Format a share of the map as a percentage; only exactly 0 and 1 are shown as 0 % and 100 %."""
    if 0 < share < 1:
        shown = min(99.9, max(0.1, round(share * 100, 1)))
        return f"{shown:.1f} %"
    return f"{share * 100:.0f} %"


def most_often_text(found: FalseAlarmMap) -> str:
    """Describe how often good parts exceed the threshold at the position where most do."""
    return (
        f"most often {found.most / found.parts * 100:.0f} % ({found.most:,} of {count(found.parts, 'part')})"
    )


def no_map_text(found: FalseAlarmMap | None, model: Padim) -> str | None:
    """Return the text shown instead of the false-alarm map, or None if there is one."""
    if found is not None and found.image is not None:
        return None
    if found is not None:
        return "No good part alarms anywhere at the threshold in use."
    if model.state.fitted.calibration == "none":
        return "No false-alarm map: it takes at least three good parts."
    return "No false-alarm map: there is no threshold yet."


def rejects(rate: FalseRejectRate) -> tuple[str, str]:
    """Return the number of rejected good parts as text, and a note with the rate to expect and its bound."""
    from padim.decision.promise import shares

    return f"{rate.above:,} of {count(rate.n, 'part')}", f"expected {shares(rate)}"


def threshold_note(model: Padim) -> str:
    """Describe whether the threshold follows a change of the region."""
    choice = model.decision.choice
    if choice.basis == "manual":
        return "set by hand: it stays"
    of = "parts" if choice.basis == "image" else "pixels"
    return f"{choice.permille / 10:g} % of the good parts’ {of}: it follows the region".replace(
        "the good parts’ parts", "the good parts"
    )


def compared(
    model: Padim, now: RegionPreview, then: RegionPreview | None
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return the rows of a table that compares the region in use with the draft.

    Args:
        model: the model in use.
        now: the effects of the region in use.
        then: the effects of the draft, or None.

    Returns:
        Rows of (name, note, cells), each cell being (value, note): one cell for the region in use and one for
        the draft, if any.
    """
    both = [now] if then is None else [now, then]
    to_value = model.state.fitted.quantizer.to_value
    none = ("–", "")
    rows: list[tuple[str, str, list[tuple[str, str]]]] = [
        ("Part of the map scored", "", [(percent(one.share), "") for one in both])
    ]
    threshold = model.current_threshold
    if threshold is not None and now.at_use is not None:
        rows.append(
            (
                "False rejects",
                f"at the threshold in use, {to_value(threshold.level):.2f}",
                [rejects(one.at_use) if one.at_use else none for one in both],
            )
        )
    if threshold is not None:
        rows.append(
            (
                "Threshold" if then is None else "Threshold after saving",
                threshold_note(model),
                [_threshold(one, to_value(one.threshold.level)) if one.threshold else none for one in both],
            )
        )
    if then is not None and now.at_own is not None and model.decision.choice.basis != "manual":
        rows.append(
            (
                "False rejects after saving",
                "each at its own threshold",
                [rejects(one.at_own) if one.at_own else none for one in both],
            )
        )
    return rows


def more_sensitive(now: RegionPreview, then: RegionPreview) -> bool:
    """Whether saving the draft would lower the threshold, which makes the model more sensitive."""
    one, other = now.threshold, then.threshold
    return one is not None and other is not None and other.level < one.level


def _threshold(promise: RegionPreview, value: float) -> tuple[str, str]:
    own = promise.threshold
    if own is None or own.supported:
        return f"{value:.2f}", ""
    return f"{value:.2f}", f"{own.n} parts are too few for this percentile: the highest score"
