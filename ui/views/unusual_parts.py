"""The most unusual good parts of a model: what makes them so, each large in the viewer, and the ways out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import alignment, good_parts_review, viewing
from ui.app import shell
from ui.app.text import count, multiple
from ui.components import viewer
from ui.jobs import watch
from ui.views import exclusion
from ui.widgets import layers, normals, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padim.analysis.good_parts import RankedNormal
    from padim.analysis.pose_spread import PoseSpread
    from padim.analysis.position_effect import PositionEffect
    from padim.model import Padim
    from padim.storage.model_folders import Entry

_SHOWN_AT_ONCE = 12
_VIEWER = "fit-viewer"


def draw(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    """Draw the good parts with the highest held-out scores, each with the ways to exclude it."""
    st.subheader("Most unusual good parts")
    opens = good_parts_review.can_open(model)
    st.caption(
        "An image that does not belong among the good ones blunts the model. Exclude what is not a good "
        "part. A good part that looks odd should stay, or the model will reject its like."
        + (" Click an image to see it large, with its heatmap." if opens else "")
    )
    effect = _position(model, items)
    if effect is not None:
        items = effect.reranked(items)
    threshold = model.current_threshold
    limit = model.state.fitted.quantizer.to_value(threshold.level) if threshold is not None else 0.0
    shown = items[: _SHOWN_AT_ONCE * (1 + st.session_state.get("fit-more", 0))]
    split = _layers_of_each(entry, model, shown)
    grid = st.grid(min_column_width=160, gap="small", key="fit-normals")
    locked = busy or not model.working_set.has_features
    for item in shown:
        with grid.cell():
            note = _note(model, item, limit, effect)
            tile(entry, model, item, note, items if opens else None, locked=locked)
            if html := split.get(item.index):
                st.html(html)
            exclusion.draw(entry, model, item, locked=locked)
    if len(shown) < len(items) and st.button(f"Show more of the {len(items):,}", key="fit-show-more"):
        st.session_state["fit-more"] = st.session_state.get("fit-more", 0) + 1
        st.rerun()


def _note(model: Padim, item: RankedNormal, limit: float, effect: PositionEffect | None) -> str:
    if limit <= 0 or item.level is None:
        return ""
    if effect is None:
        return f"{multiple(item.value, limit)} threshold"
    return f"{multiple(effect.without_position(item), limit)} without position"


# -- position ---------------------------------------------------------------------------------------------


def _position(model: Padim, items: list[RankedNormal]) -> PositionEffect | None:
    """Say what position has to do with the ranking; return its effect if it is to be taken out of it."""
    from padim.decision.calibration import FEWEST_PARTS

    if model.state.fitted.calibration == "none" or len(items) < FEWEST_PARTS:
        return None
    job = alignment.pose_spread_job(model)
    if job.running:
        watch.glance(job)
        return None
    if job.state != "done":
        return None  # the section on alignment says why, and measures again
    return _explained(model, job.result, items)


def _explained(model: Padim, spread: PoseSpread, items: list[RankedNormal]) -> PositionEffect | None:
    from padim.analysis.position_effect import displaced_alike, position_effect

    alike = displaced_alike(model, spread, items)
    effect = position_effect(model, spread, items)
    explains = effect is not None and effect.growth > 0
    if alike is not None:
        st.markdown(
            f"**{alike.sentence}** "
            + (
                "A displaced part is compared with another place of the others, so it scores high without "
                "anything being odd about it."
                if explains
                else "That does not explain their scores: among the good parts, those further off do not "
                "score clearly higher."
            )
        )
    if not explains or effect is None:
        return None
    rise = 100 * (effect.factor_of(model.config.grid_stride) - 1)
    wanted = st.toggle(
        "Rank without position",
        key="fit-without-position",
        persist_state="session",
        help="Divides each score by as much as parts displaced as far usually score above one displaced by "
        f"the typical {effect.typical:.1f} map pixels: {rise:.0f} % for a grid cell, the median slope "
        f"between the {count(len(effect.displacements), 'image')} measured. Only this order changes; "
        "scores and verdicts stay as they are.",
    )
    return effect if wanted else None


# -- tiles --------------------------------------------------------------------------------------------------


def tile(
    entry: Entry,
    model: Padim,
    item: RankedNormal,
    note: str,
    opens_among: Sequence[RankedNormal] | None,
    *,
    locked: bool = True,
) -> None:
    """Draw one image with its verdict; a click opens it in the viewer.

    Args:
        entry: the saved model.
        model: the same model, opened.
        item: the image.
        note: a few words below its name.
        opens_among: the images to go through in the viewer; None: it does not open.
        locked: whether nothing can be excluded at the moment.
    """
    verdict: panels.Verdict | None = None
    if item.level is not None and model.current_threshold is not None:
        found = model.verdict(item.level)
        verdict = found if found != "accept" else None
    image = normals.overlay_of(entry, model, item.index)
    # The button lies over the image (style.css).
    with st.container(key=f"fit-tile-{item.index}"):
        st.html(panels.gallery([panels.Thumb(image, item.name, note, verdict)]))
        if opens_among is None:
            return
        page = good_parts_review.review_state(entry)
        this = good_parts_review.image_id(model, item.index), model.normals_[item.index].status
        if st.button(f"Open {panels.plain(item.name)} in the viewer", key=f"fit-open-{item.index}"):
            page.selected, page.opened = this[0], this
        if page.opened == this:
            title = "Good part" if this[1] == "fit" else "Excluded from the fit"
            dialog = st.dialog(title, width="large", on_dismiss=partial(_close, page))
            dialog(_viewer)(entry, model, opens_among, locked)


def _close(page: good_parts_review.ReviewState) -> None:
    page.opened = None


def _viewer(entry: Entry, model: Padim, items: Sequence[RankedNormal], locked: bool) -> None:
    with st.container():  # its spinner must not move the viewer
        shown = good_parts_review.images(entry, model, items)
    if not shown:
        st.caption("There is no map of this image, judged without itself.")
        return
    page = good_parts_review.review_state(entry)
    viewer.component()(
        key=_VIEWER,
        data=good_parts_review.message(entry, model, shown),
        on_selected_change=lambda: good_parts_review.on_selected(
            entry, viewing.event_value(_VIEWER, "selected")
        ),
        on_look_change=lambda: viewing.on_look(page.look, viewing.event_value(_VIEWER, "look")),
    )
    index = good_parts_review.index_of(model, page.selected)
    item = next((one for one in items if one.index == index), None)
    if item is None:
        return
    with st.container(key=f"{good_parts_review.FOLLOWER}-{page.selected}"):
        if model.normals_[item.index].status == "fit":
            exclusion.draw(entry, model, item, locked=locked, place="viewer-")


# -- layers -------------------------------------------------------------------------------------------------


def _layers_of_each(entry: Entry, model: Padim, shown: Sequence[RankedNormal]) -> dict[int, str]:
    """Return HTML bars of the layers’ shares in each good part’s score, by index; empty unless asked for."""
    from padim.analysis.layer_questions import can_attribute

    if (
        model.state.fitted.calibration != "exact"
        or not model.working_set.has_features
        or not shown
        or not can_attribute(model)
    ):
        return {}
    if not st.toggle(
        "Show which layer finds each one odd",
        key="fit-odd-by-layer",
        persist_state="session",
        help="How much each layer of the network adds to the distance at the place that an image’s score "
        "comes from, scored by a model without that part.",
    ):
        return {}
    try:
        with st.spinner("Working it out"):
            explanation = layers.of_each(entry, model, [item.index for item in shown])
    except (PadimError, OSError) as error:
        shell.failure("The layers cannot be looked into.", error)
        return {}
    bars = {index: layers.bars_of(model, one.shares.tolist()) for index, one in explanation.items()}
    st.html(panels.legend(next(iter(bars.values()))))
    return {index: panels.stack(rows) for index, rows in bars.items()}
