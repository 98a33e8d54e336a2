"""What the live viewer is given: URLs and numbers. It draws and judges; nothing here runs the network."""

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
from ui.files.media import Numbers, Picture, mimetype_of
from ui.scoring import areas_for, map_numbers

if TYPE_CHECKING:
    import numpy.typing as npt

    from padim.analysis.held_out_scores import HeldOutScores
    from padim.data.preprocess import Box
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.scoring import Scored
    from ui.widgets.labels import Label

Group = Literal["normal", "kept", "good", "defect", "unknown"]

# What a viewer counts its user's actions by.
Count = Annotated[int, Field(ge=0, lt=2**53)]
# Bytes of the good parts' packed judged maps kept for the browser, those nearest to being rejected first.
HELD_OUT_KEPT = 96 * 2**20


@dataclass(frozen=True)
class Shown:
    """One picture of the viewer.

    Attributes:
        id: unique on the page, and the same as long as it is the same picture.
        name: as the user knows it.
        sha256: of its file.
        group: what it is.
        size: (height, width) in pixels.
        score: its score, a level, for the smallest region tried.
        picture: at most 512 px.
        numbers: its judged map; None where there is no room for it.
        box: where it lies in the map; None: it fills it.
        held: which of the good parts' pictures with held-out scores it is; None for a tested one.
        item: the tested picture.
    """

    id: str
    name: str
    sha256: str
    group: Group
    size: tuple[int, int]
    score: int
    picture: Picture
    numbers: Numbers | None
    box: Box | None
    held: int | None = None
    item: Scored | None = None


# -- the good parts, each judged by a model without it ----------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The good parts' held-out scores and maps, for the browser.

    Attributes:
        scores: for every smallest region that the browser can judge by.
        maps: by picture, its judged map; None where there is no room.
        pictures: by picture, a small JPEG.
        numbers: the scores, packed.
    """

    scores: HeldOutScores
    maps: tuple[Numbers | None, ...]
    pictures: tuple[Picture, ...]
    numbers: Numbers


def held_out(entry: Entry, model: Padim) -> HeldOut | None:
    """The good parts for the browser; None where nothing is calibrated."""
    if model.state.fitted.calibration == "none":
        return None
    held = _held_out(model, workspace.held_out_identity(entry), _standing(model), areas_for(model))
    model.state.know_levels(held.scores.levels)
    return held


def _standing(model: Padim) -> str:
    """Who is in the fit: a part kept out changes the promise and not the maps."""
    return " ".join(f"{normal.group}:{normal.status}" for normal in model.normals_)


@st.cache_resource(max_entries=3, show_spinner="Reading the good parts’ scores")
def _held_out(_model: Padim, identity: str, standing: str, areas: int) -> HeldOut:
    from padim.analysis.held_out_scores import held_out_scores

    maps: dict[int, Numbers] = {}

    def keep(index: int, q: npt.NDArray[np.uint16], levels: npt.NDArray[np.uint16]) -> None:
        if _model.normals_[index].status != "not_good":
            maps[index] = Numbers.of(levels[None], q)

    scores = held_out_scores(_model, areas, keep)
    curves = scores.curves
    shown: list[Numbers | None] = [maps[index] for index in scores.indices]
    taken = 0
    for row in np.argsort(-curves[:, 0].astype(np.int64), kind="stable"):
        numbers = shown[row]
        taken += len(numbers.data) if numbers is not None else 0
        if taken > HELD_OUT_KEPT:
            shown[row] = None
    return HeldOut(
        scores,
        tuple(shown),
        tuple(Picture(_model.working_set.thumbnail(index)) for index in scores.indices),
        Numbers.of(curves),
    )


def normals_shown(model: Padim, held: HeldOut, min_area: int) -> list[Shown]:
    """The good parts' pictures, each with its held-out map."""
    found = []
    levels, indices = held.scores.levels, held.scores.indices
    column = min(min_area, levels.shape[1]) - 1
    for row, index in enumerate(indices):
        normal = model.normals_[index]
        found.append(
            Shown(
                f"n{index}-{normal.sha256[:12]}",
                normal.name,
                normal.sha256,
                "normal" if normal.status == "fit" else "kept",
                normal.original_size,
                int(levels[index, column]),
                held.pictures[row],
                held.maps[row],
                model.state.content_box(normal.original_size),
                row,
            )
        )
    return found


def test_id(item: Scored) -> str:
    """A tested picture's id in the viewer."""
    return f"t{item.number}-{item.sha256[:12]}"


def tests_shown(model: Padim, items: Sequence[Scored], min_area: int) -> list[Shown]:
    """Tested pictures."""
    return [
        Shown(
            test_id(item),
            item.name,
            item.sha256,
            item.origin,
            item.original_size,
            item.score(model, min_area),
            item.thumb,
            item.kept_numbers(model),
            item.content_box,
            None,
            item,
        )
        for item in items
    ]


# -- the message ------------------------------------------------------------------------------------------


@cache
def _palettes() -> dict[str, str]:
    from padim.output.render import COLORMAPS, color_table

    return {name: base64.b64encode(color_table(name).tobytes()).decode() for name in COLORMAPS}


def _roi(model: Padim) -> str | None:
    """URL of the region of interest as a table of ones and zeros; None where all is judged."""
    return None if model.decision.roi is None else Numbers.of(model.decision.roi.astype(np.uint16)).url()


@dataclass
class Heard:
    """How far the server has heard what a viewer's user did, by the counts that the viewer gives.

    The browser shows what its user did at once and tells the server later. An answer that was made before the
    server had heard of the latest action must not undo it: the viewer takes over a value only when the count
    here has reached its own.

    Attributes:
        decision: of the last decision taken over.
        selected: of the last image chosen.
        labels: of the last label given.
    """

    decision: int = 0
    selected: int = 0
    labels: int = 0


def message(
    model: Padim,
    pictures: Sequence[Shown],
    *,
    mode: Literal["calibrate", "inspect"],
    decision: dict[str, Any],
    selected: str | None,
    look: dict[str, Any],
    labels: dict[str, Label],
    kept: set[str],
    heard: Heard,
    saved: dict[str, Any] | None = None,
    band: int = 0,
    held: HeldOut | None = None,
    arranged: bool = False,
    regions: dict[str, int] | None = None,
    listing: bool = False,
    follower: str | None = None,
) -> dict[str, Any]:
    """All that the viewer needs, as JSON.

    Args:
        model: judges.
        pictures: in the order wanted, where ``arranged``.
        mode: whether the threshold is to be moved or only to be looked at.
        decision: basis, permille, level and min_area.
        selected: id of the picture shown large, or None.
        look: opacity and colormap.
        labels: what people said, by hash.
        kept: hashes of pictures off the list of changes.
        heard: how far the server has heard what was done in the viewer.
        saved: the decision in use, as ``decision`` has it; None: there is none.
        band: levels on either side of the threshold that call for a second look.
        held: the good parts' scores.
        arranged: the viewer offers no filter and no order of its own, but lists the results.
        regions: regions of each picture's mask, by id, for the list.
        listing: show the list alone until a picture is chosen.
        follower: begins the keys of the containers on the page that are about one picture; those about
            another one than the viewer shows are hidden until the server has caught up.
    """
    areas = areas_for(model)
    at = next((one for one in pictures if one.id == selected), None)
    full = None
    if at is None and pictures and arranged:
        at = pictures[0]
    if at is not None and at.item is not None:
        full = _full(at.item, at.sha256)
    items = []
    for one in pictures:
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
                "box": [0, 0, model.config.input_size, model.config.input_size]
                if box is None
                else [box.left, box.top, box.width, box.height],
                "score": one.score,
                "held": -1 if one.held is None else one.held,
                "image": one.picture.url() if one.picture.data else None,
                "map": numbers.url() if numbers is not None else None,
                "full": full.url("viewer-full") if full is not None and one is at else None,
            }
        )
        if regions is not None:
            items[-1] |= {
                "regions": regions[one.id],
                "mask_name": flat_name(one.name, "_mask.png", set()),
            }
    return {
        "mode": mode,
        "arranged": arranged,
        "size": model.config.input_size,
        "areas": areas,
        "roi": _roi(model),
        "quantizer": {
            "offset": model.state.fitted.quantizer.offset,
            "step": model.state.fitted.quantizer.step,
        },
        "decision": decision,
        "selected": selected,
        "saved": saved,
        "heard": asdict(heard),
        "listing": listing,
        "follower": follower,
        "look": look,
        "band": band,
        "palettes": _palettes(),
        "held": {
            "url": held.numbers.url(),
            "part": held.scores.part,
            "parts": held.scores.parts,
            "in_fit": held.scores.in_fit,
            "upper": held.scores.upper,
        }
        if held is not None
        else {"url": None, "part": [], "parts": 0, "in_fit": 0, "upper": []},
        "pixel_levels": (held.scores.pixel_levels or None) if held is not None else None,
        "items": items,
    }


def _numbers_of(one: Shown, model: Padim, held: HeldOut | None) -> Numbers | None:
    """The judged map of the one picture that is looked at, whatever room there is."""
    if one.item is not None:
        return one.item.numbers(model)
    if one.held is not None and held is not None:
        return map_numbers(model.state.held_out_map(held.scores.indices[one.held]), areas_for(model))
    return None


@st.cache_resource(max_entries=4, show_spinner=False, scope="session")
def _full(_item: Scored, sha256: str) -> Picture | None:
    """The picture as it came where a browser can show it, or losslessly; None where it is gone."""
    from padim.data.decode import decode
    from padim.errors import ImageError
    from padim.output.render import encode_png

    if not runtime.exists():
        return None
    try:
        data = _item.file.read_bytes()
        try:
            mimetype_of(data)
        except ValueError:
            data = encode_png(decode(data, _item.name))
    except (OSError, ImageError):
        return None  # the small picture is still there
    return Picture(data)


# -- what the viewer says -----------------------------------------------------------------------------------


def said(key: str, name: str) -> object:
    """What the viewer with this key has just said under that name; None where it said nothing."""
    value = st.session_state.get(key)
    try:
        return value[name] if value is not None else None
    except (KeyError, TypeError):
        return None


class Selection(BaseModel, strict=True):
    """The image that the viewer says is shown; ``count`` grows from one to the next."""

    id: str
    count: Count


def selection(value: object) -> Selection | None:
    """The image that the viewer says is shown; None for what makes no sense."""
    try:
        return Selection.model_validate(value)
    except ValidationError:
        return None


def hear_look(look: dict[str, Any], value: object) -> None:
    """Take over how the heat is drawn; what makes no sense is ignored."""
    from padim.output.render import COLORMAPS

    if not isinstance(value, dict):
        return
    opacity = value.get("opacity")
    # True is a number too, and no opacity.
    if isinstance(opacity, int | float) and not isinstance(opacity, bool) and 0 <= opacity <= 1:
        look["opacity"] = float(opacity)
    if value.get("colormap") in COLORMAPS:
        look["colormap"] = value["colormap"]
