"""Review of the good parts: where each lies, and those that were excluded from the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.locating.wording import located_by, settings_text
from ui import fit, good_parts_review
from ui.app.text import count, multiple
from ui.views import exclusion, unusual_parts
from ui.widgets import normals, panels

if TYPE_CHECKING:
    from padim.analysis.good_parts import RankedNormal
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.widgets.normals import Reason


def draw_located(entry: Entry, model: Padim, busy: bool) -> None:
    """Draw how the part is located: the reference part, and the good images in which it was not found."""
    align = model.config.align
    st.subheader("Where the part lies")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Parts are compared as they lie."
            if align is None
            else f"Each part is located {located_by(align)}. {settings_text(align)}"
        )
        if st.button(
            "Locate the parts" if align is None else "Locate them otherwise",
            key="fit-like",
            icon=":material/center_focus_strong:",
            help="Where the part lies decides what the network sees, so that it takes another fit: bring the "
            "same images again, try it out, and fit a new model with the settings of this one. This one "
            "stays as it is.",
        ):
            fit.fit_like(entry.name, model.config)
            st.rerun()
    if align is None:
        return
    lost = [i for i, n in enumerate(model.normals_) if n.lost and n.status == "kept_out"]
    grid = st.grid(min_column_width=160, gap="small", key="fit-located")
    for index, normal in enumerate(model.normals_):
        if normal.status == "reference":
            with grid.cell():
                image = normals.overlay_of(entry, model, index)
                st.html(panels.gallery([panels.Thumb(image, normal.name, "Reference part")]))
    locked = busy or not model.working_set.has_features
    for index in lost:
        with grid.cell():
            normal = model.normals_[index]
            image = normals.overlay_of(entry, model, index)
            st.html(panels.gallery([panels.Thumb(image, normal.name, f"Not found: {normal.lost}")]))
            if st.button("Not a good part", key=f"lost-{index}", disabled=locked, width="stretch"):
                exclusion.exclude(entry, model, index, "not_good")
    st.caption(
        "The reference part is neither in the fit nor in the calibration: it lies at its own place by "
        "definition."
        + (
            f" In {count(len(lost), 'image')} of good parts the part was not found: they are not in the fit, "
            "and count in the calibration as what becomes of such images, so that the false-reject rate "
            "stays honest."
            if lost
            else " It was found in all images of good parts."
        )
    )


def draw_excluded(entry: Entry, model: Padim, items: list[RankedNormal], busy: bool) -> None:
    """Draw the parts that were excluded from the fit, each with a button that restores it."""
    st.subheader("Excluded from the fit")
    locked = busy or not model.working_set.has_features
    exclusion.outcome(entry, model, items, locked=locked)
    opens = good_parts_review.can_open(model)
    threshold = model.current_threshold
    limit = model.state.fitted.quantizer.to_value(threshold.level) if threshold is not None else 0.0
    grid = st.grid(min_column_width=160, gap="small", key="fit-taken-out")
    for item in items:
        with grid.cell():
            why = normals.REASONS[_reason(model, item)]
            if limit > 0 and item.level is not None:
                why = f"{multiple(item.value, limit)} threshold · {why}"
            if item.shots > 1:
                why += f"; {item.shots} images of one part"
            unusual_parts.tile(entry, model, item, why, items if opens else None)
            if st.button("Restore", key=f"back-{item.index}", icon=":material/undo:", disabled=locked):
                exclusion.restore(entry, model, item.index)


def _reason(model: Padim, item: RankedNormal) -> Reason:
    return "kept_out" if model.normals_[item.index].status == "kept_out" else "not_good"
