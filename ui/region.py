"""What the Region page works out: the shapes being drawn, their mask, and what saving it would change.

Nothing here runs the network: the good parts' held-out grids are judged anew under another mask.
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

from ui.app import state, workspace
from ui.app.text import count
from ui.files.media import Picture
from ui.widgets import labels

if TYPE_CHECKING:
    from padim.analysis.region_preview import HeldOutUnder, RegionPreview
    from padim.decision.calibration import FalseRejectRate
    from padim.decision.roi import Shape
    from padim.model import Padim
    from padim.storage.model_folders import Entry

Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.int64]

# Over all shapes: more is no drawing by hand, and would keep the server busy at every stroke.
MOST_POINTS = 100_000

EMPTY = (
    "Nothing would be judged: these shapes leave no part of the map. Include an area, or take shapes away."
)

# From the fewest parts to the most: yellow to red, which stand out on metal, on cloth and in the dark alike.
_FEWEST, _MOST = (255, 214, 64), (214, 0, 60)
_STOPS = 6


# -- what is being drawn ---------------------------------------------------------------------------------


@dataclass
class Drawing:
    """One model's region being drawn in this session.

    Attributes:
        shapes: None until something is drawn: the region in use.
        size: side of the map they were drawn on, in pixels.
        stamp: how often Python, not the editor, has set the shapes.
        heard: number of the drawing last heard of from the editor.
    """

    shapes: tuple[Shape, ...] | None = None
    size: int = 0
    stamp: int = 0
    heard: int = 0


@dataclass
class _Drawn:
    """By model, what is being drawn."""

    of: dict[str, Drawing] = field(default_factory=dict)


def drawing(entry: Entry, model: Padim) -> Drawing:
    """This session's drawing for this model; one for a map of another size is dropped."""
    found = state.of(_Drawn).of.setdefault(entry.id, Drawing())
    if found.shapes is not None and found.size != model.config.input_size:
        put_back(found)
    return found


def put_back(drawn: Drawing) -> None:
    """Drop the draft: the region in use is shown again."""
    drawn.shapes = None
    drawn.stamp += 1


class _Said(BaseModel, strict=True):
    """A drawing as the editor says it; the shapes are looked at one by one afterwards."""

    model: str
    size: int
    serial: int = Field(ge=0, lt=2**53)
    shapes: list[Any]


def hear(entry: Entry, model: Padim, value: object) -> None:
    """Take over what was drawn.

    What makes no sense, or belongs to another model, is ignored; the editor then shows the server’s shapes.
    """
    from padim.decision.roi import from_json
    from padim.errors import PadimError

    try:
        said = _Said.model_validate(value)
    except ValidationError:
        return
    if said.model != entry.id or said.size != model.config.input_size:
        return
    drawn = drawing(entry, model)
    drawn.heard = said.serial
    try:
        shapes = from_json(said.shapes)
    except PadimError:
        return
    if sum(len(shape.points) for shape in shapes) <= MOST_POINTS:
        drawn.shapes, drawn.size = shapes, said.size


# -- what it comes to ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Region:
    """Shapes and the mask they come to.

    Attributes:
        shapes: as drawn; empty for everywhere, and for a region in use that was not drawn.
        mask: bool ``(S, S)``, True where defects count; None: everywhere.
    """

    shapes: tuple[Shape, ...]
    mask: Mask | None

    @property
    def empty(self) -> bool:
        """Whether nothing at all would be judged."""
        return self.mask is not None and not self.mask.any()

    @property
    def share(self) -> float:
        """The share of the map that is judged."""
        return 1.0 if self.mask is None else float(self.mask.mean())


def in_use(model: Padim) -> Region:
    """The region that the model judges."""
    return Region(model.decision.roi_shapes, model.decision.roi)


def draft(drawn: Drawing, model: Padim) -> Region:
    """The region that the shapes drawn come to; that in use where nothing was drawn."""
    if drawn.shapes is None:
        return in_use(model)
    return Region(drawn.shapes, _rasterized(drawn.shapes, model.config.input_size))


@lru_cache(maxsize=8)
def _rasterized(shapes: tuple[Shape, ...], size: int) -> Mask | None:
    from padim.decision.roi import rasterize

    mask = rasterize(shapes, size)
    if mask is not None:
        mask.flags.writeable = False  # shared by all sessions
    return mask


def same(model: Padim, region: Region) -> bool:
    """Whether a region is the one in use, shape by shape."""
    now = in_use(model)
    if region.shapes != now.shapes:
        return False
    one, other = region.mask, now.mask
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def too_small(model: Padim, region: Region) -> bool:
    """Whether no region of defects could ever be large enough to count inside."""
    from padim.analysis.region_preview import too_small

    return too_small(model, region.mask)


# -- what saving would change ----------------------------------------------------------------------------


def promise(entry: Entry, model: Padim, region: Region) -> RegionPreview:
    """Work out what saving a region would come to; the model stays as it is.

    Args:
        entry: the model's entry.
        model: as it is in use.
        region: not empty.
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
    """Changes when the good parts' held-out maps would, or who they are."""
    normals = entry.manifest.get("files", {}).get("normals.json", {}).get("sha256")
    return f"{workspace.held_out_identity(entry)} {normals}"


def _digest(mask: Mask | None) -> str:
    return "" if mask is None else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()


def save(entry: Entry, region: Region, size: int) -> None:
    """Judge by this region from now on.

    Args:
        entry: the model.
        region: what to judge; without a mask everywhere.
        size: side of the map it was drawn on.

    Raises:
        PadimError: nothing would be judged, or the model now has a map of another size.
        OSError: the model cannot be saved.
    """
    from padim.errors import PadimError

    if region.empty:
        raise PadimError(EMPTY)
    with workspace.edit(entry) as model:
        if model.config.input_size != size:
            raise PadimError("the model was fitted anew for another input size; draw the region again")
        model.set_roi(region.mask, region.shapes)
    # Verdicts change with the region: the list of changes starts whole.
    labels.forget_kept(entry)
    state.of(_Drawn).of.setdefault(entry.id, Drawing()).shapes = None


def judge_everywhere(entry: Entry, model: Padim) -> None:
    """Remove the region in use; the editor can still undo it.

    Raises:
        PadimError, OSError: it was not removed.
    """
    save(entry, Region((), None), model.config.input_size)
    put_back(drawing(entry, model))


# -- pictures --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wolf:
    """Where good parts alarm at the threshold in use.

    Attributes:
        picture: PNG with transparency, in map pixels; None where no good part alarms anywhere.
        colors: the scale, from one part to the most, as CSS colours.
        most: the largest number of parts that alarm at one place.
        parts: good parts there are.
    """

    picture: Picture | None
    colors: tuple[str, ...]
    most: int
    parts: int


def wolf(entry: Entry, model: Padim) -> Wolf | None:
    """The cry-wolf map; None without held-out scores or without a threshold."""
    threshold = model.current_threshold
    if model.state.fitted.calibration == "none" or threshold is None:
        return None
    return _wolf(model, _identity(entry), threshold.level)


@st.cache_resource(max_entries=8, show_spinner="Looking where good parts alarm")
def _wolf(_model: Padim, identity: str, level: int) -> Wolf:
    from padim.analysis.region_preview import cry_wolf

    share = cry_wolf(_model, level)
    parts = len(_model.state.part_scores(_model.config.min_area))
    most = float(share.max())
    if most == 0:
        return Wolf(None, (), 0, parts)
    rgba = _tint(share / most)
    rgba[share == 0] = 0
    stops = _tint(np.linspace(1 / round(most * parts), 1, _STOPS))
    colors = tuple(f"rgba({r}, {g}, {b}, {a / 255:.2f})" for r, g, b, a in stops.tolist())
    return Wolf(_png(rgba), colors, round(most * parts), parts)


def _tint(share: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """RGBA, uint8 ``(..., 4)``, of shares of the most, 0 to 1."""
    ends = np.array([(*_FEWEST, 165), (*_MOST, 215)], np.float64)
    return np.rint(ends[0] + (ends[1] - ends[0]) * share[..., None]).astype(np.uint8)


def mean_picture(entry: Entry, model: Padim) -> Picture:
    """The mean picture of the good parts in the fit, PNG in map pixels.

    Raises:
        PadimError: the kept pictures are damaged, or none is in the fit.
    """
    files = entry.manifest.get("files", {})
    shown = [str(files.get(name, {}).get("sha256")) for name in ("thumbnails.bin", "normals.json")]
    return _mean(model, " ".join(shown), model.config.input_size, model.config.fit)


@st.cache_resource(max_entries=4, show_spinner="Averaging the good parts")
def _mean(_model: Padim, shown: str, size: int, fit: str) -> Picture:
    from padim.analysis.region_preview import mean_normal
    from padim.output.render import encode_png

    return Picture(encode_png(mean_normal(_model)))


def excluded(region: Region) -> Picture | None:
    """PNG in map pixels, opaque where nothing is judged and clear elsewhere; None where all is judged."""
    if region.mask is None:
        return None
    rgba = np.zeros((*region.mask.shape, 4), np.uint8)
    rgba[~region.mask, 3] = 255
    return _png(rgba)


def _png(rgba: npt.NDArray[np.uint8]) -> Picture:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG", compress_level=3)
    return Picture(buffer.getvalue())


# -- the message -----------------------------------------------------------------------------------------


def message(entry: Entry, model: Padim, drawn: Drawing, region: Region) -> dict[str, Any]:
    """All that the editor needs, as JSON.

    Raises:
        PadimError: there is no mean picture to draw on.
    """
    from padim.decision.roi import MAX_POINTS, MAX_SHAPES, to_json

    found = wolf(entry, model)
    mask = excluded(region)
    return {
        "model": entry.id,
        "size": model.config.input_size,
        "heard": drawn.heard,
        "shapes": to_json(region.shapes),
        "mean": mean_picture(entry, model).url("region-mean"),
        "mask": None if mask is None else mask.url("region-mask"),
        "judged": f"{percent(region.share)} of the map is judged",
        "false_alarms": None
        if found is None or found.picture is None
        else {
            "url": found.picture.url("region-false-alarms"),
            "colors": list(found.colors),
            "least": "1 part" if found.most > 1 else "",
            "most": often(found),
        },
        "calm": calm(found, model),
        "most_shapes": MAX_SHAPES,
        "most_points": MOST_POINTS,
        "most_corners": MAX_POINTS,
    }


# -- words -----------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share of the map; never rounded to all or nothing when it is not."""
    if 0 < share < 1:
        shown = min(99.9, max(0.1, round(share * 100, 1)))
        return f"{shown:.1f} %"
    return f"{share * 100:.0f} %"


def often(found: Wolf) -> str:
    """How often good parts alarm at the place where most do."""
    return (
        f"most often {found.most / found.parts * 100:.0f} % ({found.most:,} of {count(found.parts, 'part')})"
    )


def calm(found: Wolf | None, model: Padim) -> str | None:
    """What stands in for the cry-wolf map where there is none to show."""
    if found is not None and found.picture is not None:
        return None
    if found is not None:
        return "No good part alarms anywhere at the threshold in use."
    if model.state.fitted.calibration == "none":
        return "No cry-wolf map: it takes at least three good parts."
    return "No cry-wolf map: there is no threshold yet."


def rejects(rate: FalseRejectRate) -> tuple[str, str]:
    """The count, and what to expect of it."""
    from ui.app.text import in_hundred

    return (
        f"{rate.above:,} of {count(rate.n, 'part')}",
        f"about {in_hundred(rate.expected)} to expect, at most {in_hundred(rate.upper, up=True)}",
    )


def follows(model: Padim) -> str:
    """What the threshold does when the region changes."""
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
    """The table of what is and what would be.

    Args:
        model: as it is in use.
        now: of the region in use.
        then: of the draft; None where there is none.

    Returns:
        (row's name, its note, cells of (value, note)), one cell for each of the promises given.
    """
    both = [now] if then is None else [now, then]
    to_value = model.state.fitted.quantizer.to_value
    none = ("–", "")
    rows: list[tuple[str, str, list[tuple[str, str]]]] = [
        ("Part of the map judged", "", [(percent(one.share), "") for one in both])
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
                follows(model),
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
    """Whether a percentile turns what a region wins into a lower threshold."""
    one, other = now.threshold, then.threshold
    return one is not None and other is not None and other.level < one.level


def _threshold(promise: RegionPreview, value: float) -> tuple[str, str]:
    own = promise.threshold
    if own is None or own.supported:
        return f"{value:.2f}", ""
    return f"{value:.2f}", f"{own.n} parts are too few for this percentile: the highest score"
