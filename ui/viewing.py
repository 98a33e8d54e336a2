"""The data of the live viewer: URLs and numbers, from which the browser draws and decides.

Nothing here runs the network.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import streamlit as st
from pydantic import BaseModel, Field, ValidationError
from streamlit import runtime

from padim.output.file_names import flat_name
from ui.app import workspace
from ui.files.media import Numbers, ServedImage, mimetype_of
from ui.scoring import areas_for, map_numbers

if TYPE_CHECKING:
    import numpy.typing as npt

    from padim.analysis.held_out_scores import HeldOutScores
    from padim.data.preprocess import Box
    from padim.locating.placement import Placement
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from padim.storage.normals import Normal
    from ui.scoring import ScoredUpload
    from ui.widgets.labels import Label

Group = Literal["normal", "kept", "good", "defect", "unknown"]

# A serial number of the user's actions; JavaScript represents integers exactly below 2**53.
Count = Annotated[int, Field(ge=0, lt=2**53)]
# Bytes of the good parts' packed level maps kept for the browser; those with the highest scores come first.
HELD_OUT_KEPT = 96 * 2**20


@dataclass(frozen=True)
class ViewerImage:
    """One image shown in the viewer.

    Attributes:
        id: identifies the image on the page; stable as long as it is the same image.
        name: the image's name as the user knows it.
        sha256: hash of its file.
        group: its role: a normal in the fit or kept out of it, or a test image by its content.
        size: (height, width) in pixels.
        score: its score for the smallest region being tried, as a level.
        image: a preview of at most 512 px.
        numbers: its packed level map; None if it exceeds the memory limit.
        box: the part of the map that the image covers; None if it covers the whole map.
        placement: the place of the map on the image, if the part was located in it.
        held: row of the image in the held-out scores; None for a test image.
        item: the scored test image; None for a good part of the fit.
        in_fit: whether a test image was in the fit: it is marked, and not counted.
    """

    id: str
    name: str
    sha256: str
    group: Group
    size: tuple[int, int]
    score: int
    image: ServedImage
    numbers: Numbers | None
    box: Box | None
    placement: Placement | None = None
    held: int | None = None
    item: ScoredUpload | None = None
    in_fit: bool = False


# -- the good parts, each scored by a model without it ----------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The good parts' held-out scores and maps, as the browser gets them.

    Attributes:
        scores: the scores for every smallest region that the browser offers.
        maps: each image's packed level map; None if it exceeds the memory limit.
        images: each image's small JPEG.
        numbers: the scores, packed.
    """

    scores: HeldOutScores
    maps: tuple[Numbers | None, ...]
    images: tuple[ServedImage, ...]
    numbers: Numbers


def held_out(entry: Entry, model: Padim) -> HeldOut | None:
    """Return the good parts' held-out scores and maps, or None if the model is not calibrated."""
    if model.state.fitted.calibration == "none":
        return None
    held = _held_out(model, workspace.held_out_identity(entry), _standing(model), areas_for(model))
    model.state.know_levels(held.scores.levels)
    return held


def _standing(model: Padim) -> str:
    """Return a cache key of the normals' groups and states, on which the scores depend but not the maps."""
    return " ".join(f"{normal.group}:{normal.status}" for normal in model.normals_)


@st.cache_resource(max_entries=3, show_spinner="Reading the good parts’ scores")
def _held_out(_model: Padim, identity: str, standing: str, areas: int) -> HeldOut:
    from padim.analysis.held_out_scores import held_out_scores

    maps: dict[int, Numbers] = {}

    def keep(index: int, q: npt.NDArray[np.uint16], levels: npt.NDArray[np.uint16]) -> None:
        if _model.normals_[index].in_calibration:
            maps[index] = Numbers.of(levels[None], q)

    scores = held_out_scores(_model, areas, keep)
    curves = scores.curves
    shown: list[Numbers | None] = [maps[index] for index in scores.indices]
    used_bytes = 0
    for row in np.argsort(-curves[:, 0].astype(np.int64), kind="stable"):
        numbers = shown[row]
        used_bytes += len(numbers.data) if numbers is not None else 0
        if used_bytes > HELD_OUT_KEPT:
            shown[row] = None
    return HeldOut(
        scores,
        tuple(shown),
        tuple(ServedImage(_model.working_set.thumbnail(index)) for index in scores.indices),
        Numbers.of(curves),
    )


def normals_shown(model: Padim, held: HeldOut, min_area: int) -> list[ViewerImage]:
    """Return the good parts' images, each with its held-out map."""
    found = []
    levels, indices = held.scores.levels, held.scores.indices
    column = min(min_area, levels.shape[1]) - 1
    for row, index in enumerate(indices):
        normal = model.normals_[index]
        found.append(
            ViewerImage(
                f"n{index}-{normal.sha256[:12]}",
                normal.name,
                normal.sha256,
                "normal" if normal.status == "fit" else "kept",
                normal.original_size,
                int(levels[index, column]),
                held.images[row],
                held.maps[row],
                model.state.content_box(normal.original_size),
                model.state.placement(normal.pose, normal.original_size),
                row,
            )
        )
    return found


def _matrices(placement: Placement) -> dict[str, list[float]]:
    """Return the matrices from map pixels to image pixels and back, row by row."""
    return {
        "matrix": placement.matrix.ravel().tolist(),
        "inverse": placement.inverse.ravel().tolist(),
    }


def test_id(item: ScoredUpload) -> str:
    """Return a test image's id in the viewer."""
    return f"t{item.number}-{item.sha256[:12]}"


def tests_shown(model: Padim, items: Sequence[ScoredUpload], min_area: int) -> list[ViewerImage]:
    """Return the test images as the viewer shows them."""
    from padim.analysis.fit_overlap import KnownImages

    known = KnownImages.of(model)
    return [
        ViewerImage(
            test_id(item),
            item.name,
            item.sha256,
            item.origin,
            item.original_size,
            item.score(model, min_area),
            item.thumb,
            item.kept_numbers(model),
            item.content_box,
            item.placement,
            None,
            item,
            known.in_fit(item),
        )
        for item in items
    ]


# -- the message ------------------------------------------------------------------------------------------


@cache
def _palettes() -> dict[str, str]:
    from padim.output.render import COLORMAPS, color_table

    return {name: base64.b64encode(color_table(name).tobytes()).decode() for name in COLORMAPS}


def _roi(model: Padim) -> str | None:
    """Return the URL of the region of interest, a table of ones and zeros; None if it is the whole map."""
    return None if model.decision.roi is None else Numbers.of(model.decision.roi.astype(np.uint16)).url()


@dataclass
class HandledCounts:
    """The serial numbers of the latest user actions in the viewer that the server has handled.

    The browser shows an action at once and sends it to the server later. A response computed before the
    server had handled the latest action must not undo it: the viewer adopts a value only when the serial
    number here has reached its own.

    Attributes:
        decision: number of the last decision that was applied.
        selected: number of the last selection of an image.
        labels: number of the last label.
    """

    decision: int = 0
    selected: int = 0
    labels: int = 0


def message(
    model: Padim,
    images: Sequence[ViewerImage],
    *,
    mode: Literal["calibrate", "inspect"],
    decision: dict[str, Any],
    selected: str | None,
    look: dict[str, Any],
    labels: dict[str, Label],
    kept: set[str],
    handled: HandledCounts,
    saved: dict[str, Any] | None = None,
    band: int = 0,
    held: HeldOut | None = None,
    arranged: bool = False,
    regions: dict[str, int] | None = None,
    listing: bool = False,
    follower: str | None = None,
    labeling: bool = False,
    wanted: str | None = None,
) -> dict[str, Any]:
    """Return the complete data of the viewer, ready to be encoded as JSON.

    Args:
        model: the model that scored the images.
        images: the images to show; their order counts if ``arranged``.
        mode: whether the threshold can be moved ("calibrate") or is only shown ("inspect").
        decision: the decision being tried, with the keys basis, permille, level and min_area.
        selected: id of the image shown large, or None.
        look: opacity and colormap of the heatmap.
        labels: the users' labels, by the hash of the image.
        kept: hashes of images that were taken off the list of changes.
        handled: serial numbers of the viewer's actions that the server has handled.
        saved: the decision in use, with the keys of ``decision``, or None.
        band: levels on either side of the threshold in which a verdict calls for a second look.
        held: the good parts' held-out scores and maps, or None.
        arranged: show a list of results in the given order, without the viewer's own filter and order.
        regions: number of regions in each image's mask, by image id, for the table of results; without
            them there is no table, only the gallery.
        listing: show only the list until an image is chosen.
        follower: prefix of the keys of the page's containers about one image; while the server catches up,
            those about another image than the viewer shows are hidden.
        labeling: whether images can be labeled in the viewer, by key and by button.
        wanted: id of an image to show large whatever is shown now, once for each such id; None for none.
    """
    areas = areas_for(model)
    map_height, map_width = model.config.input_shape
    at = next((one for one in images if one.id == selected), None)
    full = None
    if at is None and images and arranged:
        at = images[0]
    if at is not None and at.item is not None:
        full = _full(at.item, at.sha256, model.config.bit_depth)
    items = []
    for one in images:
        numbers = one.numbers
        if numbers is None and one is at:
            numbers = _numbers_of(one, model, held)
        height, width = one.size
        box = one.box
        items.append(
            {
                "id": one.id,
                "sha256": one.sha256,
                "name": one.name,
                "group": one.group,
                "label": labels.get(one.sha256),
                "kept": one.sha256 in kept,
                "width": width,
                "height": height,
                "box": [0, 0, map_width, map_height]
                if box is None
                else [box.left, box.top, box.width, box.height],
                "placement": None if one.placement is None else _matrices(one.placement),
                "score": one.score,
                **_displacement(model, one, held),
                "notes": [] if one.item is None else list(one.item.notes),
                "in_fit": one.in_fit,
                "held": -1 if one.held is None else one.held,
                "image": one.image.url() if one.image.data else None,
                "map": numbers.url() if numbers is not None else None,
                "full": full.url("viewer-full") if full is not None and one is at else None,
            }
        )
        if arranged:
            items[-1]["mask_name"] = flat_name(one.name, "_mask.png", set())
        if regions is not None:
            items[-1]["regions"] = regions[one.id]
    return {
        "mode": mode,
        "arranged": arranged,
        "table": regions is not None,
        "map_size": {"width": map_width, "height": map_height},
        "areas": areas,
        "map_pixel_area": _map_pixel_area(model),
        "pixel_mm": model.config.pixel_size_mm,
        "roi": _roi(model),
        "quantizer": {
            "offset": model.state.fitted.quantizer.offset,
            "step": model.state.fitted.quantizer.step,
        },
        "decision": decision,
        "selected": selected,
        "saved": saved,
        "handled": asdict(handled),
        "listing": listing,
        "follower": follower,
        "labeling": labeling,
        "wanted": wanted,
        "look": look,
        "band": band,
        "joint": None
        if model.state.joint is None
        else {"statistics": model.state.joint.to_json(), "on_lost": model.state.joint.on_lost},
        "palettes": _palettes(),
        "held": {
            "url": held.numbers.url(),
            "part": held.scores.part,
            "parts": held.scores.parts,
            "in_fit": held.scores.in_fit,
            "displaced": held.scores.displaced,
            "unsure": held.scores.unsure,
            "upper": held.scores.upper,
        }
        if held is not None
        else {"url": None, "part": [], "parts": 0, "in_fit": 0, "displaced": [], "unsure": [], "upper": []},
        "pixel_levels": (held.scores.pixel_levels or None) if held is not None else None,
        "items": items,
    }


def _displacement(model: Padim, one: ViewerImage, held: HeldOut | None) -> dict[str, Any]:
    """Return how the part is displaced in an image, as the viewer's data of the image."""
    image: ScoredUpload | Normal | None = one.item
    if image is None and one.held is not None and held is not None:
        image = model.normals_[held.scores.indices[one.held]]
    if image is None:
        return {"displacement": {}, "displaced": 0, "lost": ""}
    return {
        "displacement": model.state.displacement(image.pose),
        "displaced": model.state.displaced(image.pose, image.lost),
        "lost": image.lost,
    }


def _numbers_of(one: ViewerImage, model: Padim, held: HeldOut | None) -> Numbers | None:
    """Return the packed level map of the selected image, even if the memory limit excluded it."""
    if one.item is not None:
        return one.item.numbers(model)
    if one.held is not None and held is not None:
        return map_numbers(model.state.held_out_map(held.scores.indices[one.held]), areas_for(model))
    return None


@st.cache_resource(max_entries=4, show_spinner=False, scope="session")
def _full(_item: ScoredUpload, sha256: str, bit_depth: int | None) -> ServedImage | None:
    """Return the original image file if browsers can show it, else a PNG of it; None if it cannot be read."""
    from padim.data.decode import decode
    from padim.data.depth_survey import may_be_deep
    from padim.errors import ImageError
    from padim.output.render import encode_png

    if not runtime.exists():
        return None
    try:
        data = _item.file.read_bytes()
        try:
            mimetype_of(data)
            # Browsers show 16-bit files over their full range, not over the model's.
            shown = not may_be_deep(data)
        except ValueError:
            shown = False
        if not shown:
            data = encode_png(decode(data, _item.name, bit_depth=bit_depth))
    except (OSError, ImageError):
        return None  # the viewer then shows the preview
    return ServedImage(data)


# -- messages from the viewer -------------------------------------------------------------------------------


def _map_pixel_area(model: Padim) -> float:
    """Return how many original pixels a map pixel shows."""
    from padim.analysis.resolution import model_resolution

    found = model_resolution(model)
    return found.down * found.across


def event_value(key: str, name: str) -> object:
    """Return the value of this name that the viewer with this key has just sent, or None."""
    value = st.session_state.get(key)
    try:
        return value[name] if value is not None else None
    except (KeyError, TypeError):
        return None


class SelectedImage(BaseModel, strict=True):
    """A message of the viewer that another image is selected; ``count`` increases with each message."""

    id: str
    count: Count


def selection(value: object) -> SelectedImage | None:
    """Validate a selection message of the viewer; return None if it is invalid."""
    try:
        return SelectedImage.model_validate(value)
    except ValidationError:
        return None


def on_look(look: dict[str, Any], value: object) -> None:
    """Apply the viewer's heatmap opacity and colormap to ``look``; ignore invalid values."""
    from padim.output.render import COLORMAPS

    if not isinstance(value, dict):
        return
    opacity = value.get("opacity")
    # bool is a subclass of int, but True is not an opacity.
    if isinstance(opacity, int | float) and not isinstance(opacity, bool) and 0 <= opacity <= 1:
        look["opacity"] = float(opacity)
    if value.get("colormap") in COLORMAPS:
        look["colormap"] = value["colormap"]
